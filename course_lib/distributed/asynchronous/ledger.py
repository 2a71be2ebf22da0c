"""What the server of an asynchronous run goes by: versions of the weights, who works on which, and whose messages wait."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from course_lib.distributed.asynchronous.settings import Asynchronous


@dataclass(frozen=True)
class Ledger:
    """The server's books; every method returns new ones. The weights and the messages themselves are the caller's.

    `version`: how many steps the server has made. `at_work`: who computes, and the version that each was given. `buffer`: whose
    messages have come and wait for a step, in order of arrival, and the version that each is based on.
    """

    by: Asynchronous
    version: int = 0
    at_work: Mapping[int, int] = field(default_factory=dict)
    buffer: tuple[tuple[int, int], ...] = ()

    def give(self, participants: Iterable[int]) -> "Ledger":
        """Give the weights as they are now to participants who have nothing to do."""
        return replace(self, at_work={**self.at_work, **dict.fromkeys(participants, self.version)})

    def arrive(self, participant: int) -> "Ledger":
        """Take in the message of one who is at work."""
        given = self.at_work[participant]
        return replace(self.lose(participant), buffer=(*self.buffer, (participant, given)))

    def lose(self, participant: int) -> "Ledger":
        """Wait no longer for one whose message will not come."""
        return replace(self, at_work={one: given for one, given in self.at_work.items() if one != participant})

    @property
    def full(self) -> bool:
        """Whether there are messages enough for a step."""
        return len(self.buffer) >= self.by.buffer

    @property
    def due(self) -> bool:
        """Whether the server makes a step now: it has messages enough, and nobody at work would fall behind too far."""
        oldest = min(self.at_work.values(), default=self.version + 1)
        return self.full and (self.by.bound is None or self.version + 1 - oldest <= self.by.bound)

    def step(self) -> tuple["Ledger", dict[int, int]]:
        """Make a step with all that has come; return the version that each of the messages was based on as well."""
        return replace(self, version=self.version + 1, buffer=()), dict(self.buffer)

    def idle(self, participants: Iterable[int]) -> list[int]:
        """Return those who neither work nor have a message waiting."""
        busy = self.at_work.keys() | dict(self.buffer).keys()
        return [participant for participant in participants if participant not in busy]
