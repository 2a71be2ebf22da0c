"""Who computes and who waits, in step and out of step: a timeline from a simulated order of arrivals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from course_lib.distributed.asynchronous import arrivals
from course_lib.distributed.asynchronous.settings import Asynchronous
from course_lib.federated.fleet import OutOfStep

if TYPE_CHECKING:
    import pandas as pd

# Everybody waits for everybody.
IN_STEP = Asynchronous(bound=0)


def timeline(
    fleet: OutOfStep, steps: Sequence[int], rounds: int, by: Asynchronous = IN_STEP, *, message: int = 0, seed: int = 0
) -> "pd.DataFrame":
    """Return what each worker does in a run, simulated: one row a span: worker, activity (computing, waiting), start, end in seconds.

    `fleet`: how fast they are, see `federated.participation.Devices`; `steps: (n,)`: local steps of each between two exchanges;
    `rounds`: steps of the server; `message`: bytes of a message, whose trip counts as computing. By default the workers stay in step.
    Nothing is trained.
    """
    import pandas as pd

    workers = len(steps)
    source = arrivals.Simulated(fleet, steps, message, message, seed)
    pieces = arrivals.settle(by, rounds, workers, workers, source)
    end = max(piece.stepped or 0.0 for piece in pieces)
    rows = []
    for piece in pieces:
        came = end if piece.came is None else min(piece.came, end)
        rows.append((piece.participant, "computing", piece.began, came))
        waited = end if piece.stepped is None else piece.stepped
        if waited > came:
            rows.append((piece.participant, "waiting", came, waited))
    return pd.DataFrame(rows, columns=["worker", "activity", "start", "end"])
