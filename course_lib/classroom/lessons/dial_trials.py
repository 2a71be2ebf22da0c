"""What lesson 15's verdicts judge: the stored study's differences, one finding for each stop and data set."""

from collections.abc import Sequence

from course_lib import learning
from course_lib.classroom.lessons.dial import NAMES
from course_lib.learning import Finding
from course_lib.learning.finding import Claim
from course_lib.study.dial import Table

_LEARNS = 0.1  # above a guess: what counts as having learnt at all


def judged(table: Table, stops: Sequence[str], against: str, claim: Claim, *, loss: bool = False) -> dict[str, Finding]:
    """Return a claim about each stop less another on each data set, or of the `loss`: what the other one has more. "Better" is by more than a
    point."""
    found = {}
    for name, words in NAMES.items():
        for stop in stops:
            own, other = (table.row(name, key).scores() for key in (stop, against))
            pair = (other, own) if loss else (own, other)
            found[f"{words}, {table.row(name, stop).title}"] = learning.compare(*pair, claim, margin=learning.MARGIN)
    return found


def lost(table: Table, stops: Sequence[str], against: str) -> dict[str, Finding]:
    """Return whether each stop loses more than a point to another."""
    return judged(table, stops, against, "better", loss=True)


def bandwidth(table: Table, stops: Sequence[str]) -> dict[str, Finding]:
    """Return how many times the bytes of a stop's run moving all raw data once takes: counted, so without an interval."""
    found = {}
    for name, words in NAMES.items():
        moved = table.row(name, "one_machine").mean("bytes_per_participant")
        for stop in stops:
            talked = table.row(name, stop).mean("bytes_per_participant")
            assert moved is not None and talked is not None
            found[f"{words}, {table.row(name, stop).title}"] = learning.exact(moved / talked, moved > talked, "times")
    return found


def deep(table: Table) -> dict[str, Finding]:
    """Return whether a convolutional network learns under FL at all, and whether it becomes as good as under DDP."""
    found = {}
    for stop in ("fedavg_iid", "fedavg_1"):
        row = table.row("deep", stop)
        guess = dict.fromkeys(row.seeds, 0.1)
        found[f"{row.title}: learns, more than ten points above a guess"] = learning.compare(
            row.scores(), guess, "better", margin=_LEARNS
        )
        found[f"{row.title}: as good as under DDP"] = table.compare("deep", stop, "ddp", "no worse")
    return found
