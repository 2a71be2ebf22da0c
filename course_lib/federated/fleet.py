"""Who of the asked clients answers in a round, and how much of its work each has done: settled before a run, from its seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Attendance:
    """One round: the clients that get the model, and those whose message comes back in time.

    `work`: for each client that answers, the share of its local steps that it takes, above 0 and up to 1. `absent`: why each
    of the others does not answer. `counts`: for clients that were more or less likely to be asked than others, how many times
    an example of theirs counts in the mean (1 where nothing is said). `seconds`: how long the round would take on the clients' own devices, where that is known.
    """

    asked: tuple[int, ...]
    work: Mapping[int, float]
    absent: Mapping[int, str] = field(default_factory=dict)
    seconds: float = float("nan")
    counts: Mapping[int, float] = field(default_factory=dict)


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
