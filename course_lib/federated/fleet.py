"""Who of the asked clients answers in a round, and how much of its work each has done: settled before a run, from its seed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Attendance:
    """One round: the clients that get the model, and those whose message comes back in time.

    `work`: for each client that answers, the share of its local steps that it takes, above 0 and up to 1. `absent`: why each
    of the others does not answer. `counts`: for clients that were more or less likely to be asked than others, how many times
    an example of theirs counts in the mean (1 where nothing is said). `seconds`: how long the round would take on the clients' own devices, where that is known.

    Out of step, a message may come in a later round than the one in which its client got the model. `later`: those asked in this round
    whose messages come in later ones. `given`: for clients in `work`, the round in which they were asked, counted from 0; this one,
    where nothing is said.
    """

    asked: tuple[int, ...]
    work: Mapping[int, float]
    absent: Mapping[int, str] = field(default_factory=dict)
    seconds: float = float("nan")
    counts: Mapping[int, float] = field(default_factory=dict)
    later: Collection[int] = ()
    given: Mapping[int, int] = field(default_factory=dict)

    @property
    def working(self) -> tuple[int, ...]:
        """Those who train on the model that they get in this round."""
        return tuple(client for client in self.asked if client in self.work or client in self.later)

    @property
    def answering(self) -> tuple[int, ...]:
        """Those whose message comes in this round, in the order in which it is taken up."""
        late = (client for client in self.work if client not in self.asked)
        return (*(client for client in self.asked if client in self.work), *late)

    def staleness(self, round_index: int) -> dict[int, int]:
        """Return how many steps the server has made since it gave out the model that each message is based on."""
        return {client: round_index - self.given.get(client, round_index) for client in self.answering}


class Fleet(Protocol):
    """The clients as devices; see `federated.participation`."""

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        """Return who takes part in a round, counted from 0.

        `cohort_size`: how many messages the server would like; `steps: (n,)`: the local steps of each client, in full;
        `download`, `upload`: bytes of a message to and from a client.
        """
        ...


@runtime_checkable
class OutOfStep(Protocol):
    """A fleet whose clients can work out of step with each other."""

    @property
    def timed(self) -> bool:
        """Whether its seconds mean anything; if not, they only say who is first."""
        ...

    def next_asked(
        self, idle: Sequence[int], wanted: int, clients: int, version: int, draw: int, seed: int
    ) -> tuple[int, ...]:  # fmt: skip
        """Return which of the idle clients, of so many in all, are asked now, at most `wanted`; `draw` counts the times of asking."""
        ...

    def answer(
        self, client: int, version: int, attempt: int, steps: int, download: int, upload: int, seed: int
    ) -> tuple[float, float, str]:
        """Return after how many seconds a client's answer comes, its turn (0 to 1) among those that come at the same time, and why it
        is lost, if it is; `attempt` counts the times that anybody was asked."""
        ...
