"""What the server notes down during a run, for its history and for what the user should know."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from course_lib.federated.fleet import Attendance
from course_lib.rounds.exchange import NOT_FINITE, Answers, Wire

_NAMED = 5  # clients that a warning names
# What the notes come to, but for whose messages were not finite.
_COUNTED = ("_left_out", "_absent", "_skipped", "_used", "_last", "_aborted", "_clipped", "_simulated", "_staleness")


class Notes:
    """What the server notes down between two evaluations: whom it had to do without, and why."""

    def __init__(
        self, wire: Wire, simulated: float, faulty: Container[int] = (), *, masked: bool = False,
        out_of_step: bool = False,
    ) -> None:  # fmt: skip
        self._wire, self._faulty, self._masked, self._out_of_step = wire, faulty, masked, out_of_step
        self._staleness: list[int] = []
        # The rounds in which a client sent numbers that are not finite, unless it was told to.
        self._not_finite: dict[int, list[int]] = {}
        self._left_out: list[str] = []
        self._absent = self._skipped = self._used = 0
        self._last: list[str] = []
        self._aborted, self._clipped = "", 0.0
        self._simulated = simulated

    def add(self, now: Attendance, answers: Answers, *, skipped: bool) -> None:
        """Note down one round."""
        self._left_out += [
            f"round {self._wire.recorder.round}: {self._wire.name(client)} ({reason})"
            for client, reason in answers.left_out.items()
        ]
        for client, reason in answers.left_out.items():
            if reason == NOT_FINITE and client not in self._faulty:
                self._not_finite.setdefault(client, []).append(self._wire.recorder.round)
        self._used += not skipped
        self._last = self._left_out[-1:] or self._last
        self._absent += len(now.absent)
        self._aborted = answers.aborted or self._aborted
        self._clipped = max(self._clipped, answers.clipped)
        self._skipped += skipped
        self._simulated += now.seconds
        self._staleness += now.staleness(self._wire.recorder.round - 1).values()

    def why_useless(self) -> str:
        """Return the last reason why a message was left out, if no round could use any; else ""."""
        return "" if self._used else self._aborted or "; ".join(self._last)

    def warning(self) -> str:
        """Return whose messages were left out as not finite though the run went on, and in which rounds; else ""."""
        if not self._not_finite:
            return ""
        named = [
            f"{self._wire.name(client)} ({_rounds(rounds)})" for client, rounds in sorted(self._not_finite.items())
        ]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        count = sum(map(len, self._not_finite.values()))
        return (
            f"{count} message{'s' if count > 1 else ''} held {NOT_FINITE} and {'were' if count > 1 else 'was'} left out: "
            f"{', '.join(named[:_NAMED])}{more}: lower the learning rate, or look at that data"
        )

    def since_last(self) -> dict[str, Any]:
        """Return the columns of the history, and begin anew; simulated seconds add up over the run."""
        columns: dict[str, Any] = {
            "left_out": "; ".join(self._left_out), "absent": self._absent, "skipped": self._skipped,
            "simulated_seconds": self._simulated,
        }  # fmt: skip
        if self._masked:
            columns["clipped"] = self._clipped
        if self._out_of_step:
            columns["staleness"] = sum(self._staleness) / max(len(self._staleness), 1)
            columns["max_staleness"] = max(self._staleness, default=0)
        self._staleness = []
        self._left_out, self._absent, self._skipped, self._clipped = [], 0, 0, 0.0
        return columns

    def kept(self) -> dict[str, Any]:
        """Return what was noted down so far, as data for a checkpoint."""
        not_finite = {str(client): rounds for client, rounds in self._not_finite.items()}
        return {name: getattr(self, name) for name in _COUNTED} | {"_not_finite": not_finite}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was `kept`."""
        vars(self).update(kept)
        self._not_finite = {int(client): rounds for client, rounds in kept["_not_finite"].items()}


def _rounds(rounds: Sequence[int]) -> str:
    """Return rounds as "round 3", "rounds 3 and 5" or "9 rounds from 3 to 20"."""
    if len(rounds) < 3:
        return f"round{'s' if len(rounds) > 1 else ''} {' and '.join(map(str, rounds))}"
    return f"{len(rounds)} rounds from {rounds[0]} to {rounds[-1]}"
