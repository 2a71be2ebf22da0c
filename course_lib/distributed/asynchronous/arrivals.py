"""In which order messages come, simulated from how long everybody takes or as it has been recorded, and what follows from it."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from course_lib.distributed.asynchronous.ledger import Ledger
from course_lib.distributed.asynchronous.settings import Asynchronous
from course_lib.federated.fleet import Attendance, OutOfStep

STILL_AT_WORK = "still at work when the run ended"
_PATIENCE = 10_000  # messages lost in a row, or vain looks for somebody available, after which none will come


@dataclass(frozen=True)
class Piece:
    """A participant's work on one version of the weights: when it was given (seconds since the start) and when the message came.

    `turn`: how many messages came before it. `used`: the number of the step that used the message, counted from 0, and when that was; both None for one that was lost (then
    `lost` says why), or that was never used.
    """

    participant: int
    given: int
    began: float
    came: float | None = None
    turn: int = -1
    used: int | None = None
    stepped: float | None = None
    lost: str = ""


class Source(Protocol):
    """Where the order comes from."""

    def choose(self, idle: Sequence[int], wanted: int, version: int) -> Iterable[int]:
        """Return who of the idle is given the weights now, at most `wanted`."""
        ...

    def start(self, participant: int, version: int, now: float) -> None:
        """Take note that one begins to work."""
        ...

    def next(self, at_work: Iterable[int]) -> tuple[float, int, str]:
        """Return when the next message comes, from whom, and why it is lost, if it is. Raises ValueError where none will come."""
        ...


class Simulated:
    """The next message is that of whoever is done first; of those who are equally quick, chance decides.

    `fleet`: see `course_lib.federated.fleet.OutOfStep`; `steps: (n,)`: local steps of each participant; `download`, `upload`: bytes.
    """

    def __init__(self, fleet: OutOfStep, steps: Sequence[int], download: int, upload: int, seed: int) -> None:
        self._fleet, self._steps, self._bytes, self._seed = fleet, steps, (download, upload), seed
        self._queue: list[tuple[float, float, int, str]] = []
        self._draws = self._tries = 0

    def choose(self, idle: Sequence[int], wanted: int, version: int) -> Iterable[int]:
        self._draws += 1
        return self._fleet.next_asked(idle, wanted, len(self._steps), version, self._draws, self._seed)

    def start(self, participant: int, version: int, now: float) -> None:
        self._tries += 1
        seconds, turn, lost = self._fleet.answer(
            participant, version, self._tries, self._steps[participant], *self._bytes, self._seed
        )
        heapq.heappush(self._queue, (now + seconds, turn, participant, lost))

    def next(self, at_work: Iterable[int]) -> tuple[float, int, str]:
        if not self._queue:
            raise ValueError(
                "nobody is at work, and nobody is available: let available(client, round) be above 0 for some"
            )
        came, _, participant, lost = heapq.heappop(self._queue)
        return came, participant, lost


class Recorded:
    """The next message is that of the next participant on a list; nobody knows when. Everybody takes part."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order, self._position = order, 0

    def choose(self, idle: Sequence[int], wanted: int, version: int) -> Iterable[int]:
        return idle

    def start(self, participant: int, version: int, now: float) -> None:
        pass

    def next(self, at_work: Iterable[int]) -> tuple[float, int, str]:
        if self._position == len(self._order):
            raise ValueError(
                f"order has {len(self._order)} arrivals, too few for all rounds: ask for fewer, or record more"
            )
        participant = self._order[self._position]
        if participant not in at_work:
            raise ValueError(
                f"order[{self._position}]={participant} cannot be: of the participants, only {sorted(at_work)} are at work then, with "
                "these settings of buffer and bound"
            )
        self._position += 1
        return float("nan"), participant, ""


def settle(by: Asynchronous, rounds: int, participants: int, at_once: int, source: Source) -> list[Piece]:
    """Return every piece of work of a run of so many steps, in the order in which they began; `at_once` work at the same time.

    Whoever's message has been used, or was lost, may be given the weights again, and while a step is not due others can take their
    place. Raises ValueError where the run cannot come to an end.
    """
    ledger, now, came, vain = Ledger(by), 0.0, 0, 0
    pieces: list[Piece] = []
    latest: dict[int, int] = {}  # the place in `pieces` of each participant's last one
    while ledger.version < rounds:
        wanted = 0 if ledger.full else at_once - len(ledger.at_work)
        idle = ledger.idle(range(participants)) if wanted > 0 else []
        for participant in source.choose(idle, min(wanted, len(idle)), ledger.version) if idle else ():
            latest[participant] = len(pieces)
            pieces.append(Piece(participant, ledger.version, now))
            source.start(participant, ledger.version, now)
            ledger = ledger.give([participant])
        if not ledger.at_work and idle and (vain := vain + 1) < _PATIENCE:
            continue  # nobody was available: look again
        now, participant, lost = source.next(ledger.at_work)
        ledger = ledger.lose(participant) if lost else ledger.arrive(participant)
        vain = vain + 1 if lost else 0
        if vain > _PATIENCE:
            raise ValueError(f"the last {_PATIENCE} messages were all lost ({lost}): let some clients answer")
        pieces[latest[participant]] = replace(pieces[latest[participant]], came=now, turn=came, lost=lost)
        came += 1
        if ledger.due:
            number = ledger.version
            ledger, used = ledger.step()
            for one in used:
                pieces[latest[one]] = replace(pieces[latest[one]], used=number, stepped=now)
    return pieces


def attendance(pieces: Sequence[Piece], rounds: int, *, timed: bool = True) -> tuple[Attendance, ...]:
    """Return what pieces of work come to, round by round: a round is a step of the server, and what happens before it.

    `timed`: whether their seconds mean anything.
    """
    asked: list[dict[int, str]] = [{} for _ in range(rounds)]  # why the message of each who was asked will not come
    used: list[list[Piece]] = [[] for _ in range(rounds)]
    later: list[list[int]] = [[] for _ in range(rounds)]
    for piece in pieces:
        if piece.given < rounds:
            asked[piece.given][piece.participant] = piece.lost or ("" if piece.used is not None else STILL_AT_WORK)
        if piece.used is not None:
            used[piece.used].append(piece)
            if piece.used > piece.given:
                later[piece.given].append(piece.participant)
    found, before = [], 0.0
    for number in range(rounds):
        came = sorted(used[number], key=lambda piece: piece.turn)
        stepped = came[0].stepped or 0.0
        found.append(
            Attendance(
                tuple(asked[number]),
                dict.fromkeys((piece.participant for piece in came), 1.0),
                {participant: why for participant, why in asked[number].items() if why},
                stepped - before if timed else float("nan"),
                later=tuple(later[number]),
                given={piece.participant: piece.given for piece in came},
            )
        )
        before = stepped
    return tuple(found)
