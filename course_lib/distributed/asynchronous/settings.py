"""How far out of step a run may get, and what becomes of a message that comes late."""

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.settings import real, whole

# What a participant sends is based on some version of the weights; its staleness is how many steps the server has made since.


@dataclass(frozen=True)
class Asynchronous:
    """A server that makes a step as soon as it has `buffer` messages, whatever version of the weights each is based on.

    `buffer`: 1 is asynchronous SGD and FedAsync (Xie et al. 2019, arXiv 1903.03934), more is FedBuff (Nguyen et al. 2022, arXiv
    2106.06639). Unlike FedAsync, which mixes in a model, a step adds what the messages say should change.
    `bound`: no message is ever more than so many versions late: before a step that would push somebody who is still at work
    beyond it, the server waits. 0 waits for everybody: steps in step. Stale synchronous parallel (Ho et al. 2013) bounds how far the
    fastest may be ahead of the slowest instead.
    `exponent`: in the mean of a step a message counts (1 + staleness) ** -exponent times; 0 makes no difference, FedBuff takes 0.5.
    `shorten`: whether late messages shorten the step as well: the mean is then divided by how many messages there are instead of by
    how much they count together, as in staleness-aware SGD (Zhang et al. 2016, arXiv 1511.05950; about exponent 1).
    `order`: the participants in the order in which their messages came, to replay a run that has happened (`run.order`).
    Raises ValueError, naming the value, for settings that make no sense.
    """

    buffer: int = 1
    bound: int | None = None
    exponent: float = 0.0
    shorten: bool = False
    order: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, least in (("buffer", 1), ("bound", 0)):
            value = getattr(self, name)
            if value is None and name == "bound":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}={value!r} must be a whole number of at least {least}")
        if not 0 <= real(self.exponent, "exponent") < float("inf"):
            raise ValueError(
                f"exponent={self.exponent} must be at least 0 and finite: 0.5 halves what is 3 versions late"
            )
        if self.shorten and not self.exponent:
            raise ValueError(
                "shorten=True shortens by how little late messages count: give an exponent above 0, such as 1"
            )
        if self.order is not None and not isinstance(self.order, tuple):
            raise ValueError(f"order is a {type(self.order).__name__}: pass a tuple of participants, such as run.order")
        for position, participant in enumerate(self.order or ()):
            whole(participant, f"order[{position}]", 0)

    def counts(self, staleness: int) -> float:
        """Return how many times a message so many versions late counts in the mean."""
        return float((1 + staleness) ** -self.exponent)

    def length(self, examples: Sequence[float], staleness: Sequence[int]) -> float:
        """Return how much of a step is taken with messages that stand for so many examples and are so many versions late."""
        if not self.shorten:
            return 1.0
        return sum(n * self.counts(late) for n, late in zip(examples, staleness, strict=True)) / sum(examples)
