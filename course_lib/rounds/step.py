"""The server's step: what it makes of the messages of a round, whenever they came."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from course_lib.distributed.asynchronous import Asynchronous
from course_lib.federated.pipeline import Pipeline, States
from course_lib.federated.stage import Total, Turn

IN_STEP = Asynchronous()  # where nobody is late, nobody counts less


def weights(examples: Sequence[float], late: Mapping[int, int], by: Asynchronous | None) -> dict[int, float]:
    """Return how much each message counts in the mean: `examples: (n,)` of all participants; `late`: the staleness of each message."""
    return {
        participant: examples[participant] * (by or IN_STEP).counts(versions) for participant, versions in late.items()
    }


def step(
    pipeline: Pipeline, theta: Tensor, states: States, mean: Tensor, count: int, examples: Sequence[float],
    used: Mapping[int, int], by: Asynchronous | None, turn: Turn,
) -> tuple[Tensor, States]:  # fmt: skip
    """Return new weights `(d,)` and what the server remembers, from the mean `(m,)` of the `count` messages it could use.

    `examples: (n,)` of all participants; `used`: the staleness of each of the messages.
    """
    own = [examples[participant] for participant in used]
    if by is not None and by.shorten and used:
        mean = mean * by.length(own, list(used.values()))
    return pipeline.server(theta, Total(mean, count, sum(own)), states, sum(own) / sum(examples), turn)
