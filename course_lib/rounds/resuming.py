"""What a run remembers when its processes are gone: saved by process 0 as it goes, and handed out again when it begins anew.

Whoever trains for a participant keeps what it remembers, so process 0 collects that to save it, and hands it out to wherever the
participants are hosted the next time. Such messages are kinds of their own, "checkpoint" and "recovery", neither up nor down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.cluster.recorder import Message, Span
from course_lib.distributed.packed import pack, unpack
from course_lib.federated.pipeline import States
from course_lib.fingerprints import fingerprint
from course_lib.plans import Plan
from course_lib.rounds.exchange import SERVER, Wire, finish
from course_lib.rounds.judge import Judge
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.preparation import Keeping

# What goes with a participant to wherever it is hosted, see `Participants.kept`.
_OF_PARTICIPANTS = ("states", "at_work")


@dataclass(frozen=True)
class Progress:
    """How far a run has come after `done` rounds and `seconds`: the weights `theta: (d,)`, what the server remembers, and the
    last mean `(m,)`. `over`: whether it has reached what it was to stop at."""

    done: int
    theta: Tensor
    server: States
    last: Tensor
    seconds: float
    over: bool = False


def identity(plan: Plan, seed: int, module: nn.Module, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run depends on, by name; `data`: whatever else goes into it. On how many processes it runs makes no difference.

    Raises TypeError for a plan that holds what cannot be written down, such as an open file.
    """
    answers = {f"plan.{name}": fingerprint(value) for name, value in vars(plan).items()}
    model = {
        "model": fingerprint([[_settings(name, layer) for name, layer in module.named_modules()], module.state_dict()])
    }
    return {"seed": str(seed)} | model | answers | {name: fingerprint(value) for name, value in data.items()}


def _settings(name: str, layer: nn.Module) -> list[Any]:
    """Return what a layer does, but for its weights."""
    own = {key: value for key, value in vars(layer).items() if isinstance(value, bool | int | float | str)}
    return [name, type(layer), layer.extra_repr(), own]


class Keeper:
    """One process's part in keeping a run's checkpoints; `found` is, on process 0, what the last good one holds, if any."""

    def __init__(
        self, keeping: Keeping, wire: Wire, world: int, participants: Participants, judge: Judge, notes: Notes, found: Any
    ) -> None:  # fmt: skip
        self.keeping, self.wire, self.found = keeping, wire, found
        self.participants, self.judge, self.notes = participants, judge, notes
        self.others = range(1, world)
        # What each process has recorded, in the order in which it was saved: messages that left, and spans.
        self.record: list[list[Any]] = [list(parts) for parts in found["record"]] if found else []
        self._saved = (0, 0)

    def resume(self, start: Progress, everywhere: bool) -> Progress:
        """Return how far the run had come: `start` where no checkpoint was found.

        `everywhere`: whether every process goes on with the weights, or the server alone.
        """
        if self.wire.rank == 0:
            told = [(process, _as_tensor(self._part(process, everywhere))) for process in self.others]
            finish([self.wire.post(part, process, "recovery", SERVER, f"process {process}") for process, part in told])
            part = self._part(0, True)
        else:
            part = _as_part(self.wire.take(0, "recovery"))
        if not part:
            return start
        self.participants.restore(part["states"], part["at_work"])
        self.wire.recorder.round = part["done"]
        if self.wire.rank == 0:
            self.judge.restore(self.found["rows"], self.found["best"])
            self.notes.restore(self.found["notes"])
        now = replace(start, done=part["done"], seconds=part["seconds"], over=part["over"])
        if "theta" not in part:
            return now
        return replace(now, theta=part["theta"], server=tuple(part["server"]), last=part["last"])

    def _part(self, process: int, weights: bool) -> Any:
        """Return what a process needs of what was found."""
        if self.found is None:
            return {}
        names = ("done", "seconds", "over", *(("theta", "server", "last") if weights else ()))
        own = {
            what: {one: kept for one, kept in self.found[what].items() if self.wire.hosts[int(one)] == process}
            for what in _OF_PARTICIPANTS
        }
        return {name: self.found[name] for name in names} | own

    def is_time(self, now: Progress, rounds: int) -> bool:
        """Return whether to save after this many of so many rounds."""
        return now.over or now.done == rounds or now.done % self.keeping.checkpoints.every == 0

    def save(self, now: Progress, alone: bool) -> None:
        """Save what the run remembers. Every process takes part, unless the server is `alone` in going on."""
        part = self._own_part()
        if self.wire.rank != 0:
            finish([self.wire.post(_as_tensor(part), 0, "checkpoint", f"process {self.wire.rank}", SERVER)])
            return
        others = [] if alone else [_as_part(self.wire.take(process, "checkpoint")) for process in self.others]
        remembered: dict[str, dict[str, Any]] = {what: {} for what in _OF_PARTICIPANTS}
        for process, own in enumerate([part, *others]):
            for what in _OF_PARTICIPANTS:
                remembered[what] |= own[what]
            self.record += [[] for _ in range(process + 1 - len(self.record))]
            self.record[process].append(own["record"])
        content = {
            "done": now.done, "seconds": now.seconds, "over": now.over, "theta": now.theta, "server": now.server,
            "last": now.last, **remembered, "rows": self.judge.checkpoints, "best": self.judge.best,
            "notes": self.notes.kept(), "record": self.record,
        }  # fmt: skip
        with self.wire.recorder.phase("saving"):
            self.keeping.checkpoints.save(now.done, self.keeping.identity, content)

    def _own_part(self) -> Any:
        """Return what this process's participants remember, and what it has recorded since the last checkpoint."""
        recorder, (messages, spans) = self.wire.recorder, self._saved
        self._saved = len(recorder.messages), len(recorder.spans)
        return self.participants.kept() | {"record": written(recorder.messages[messages:], recorder.spans[spans:])}


def _as_tensor(part: Any) -> Tensor:
    return torch.frombuffer(bytearray(pack(part)), dtype=torch.uint8)


def _as_part(packed: Tensor) -> Any:
    return unpack(packed.numpy().tobytes())


def written(messages: Sequence[Message], spans: Sequence[Span]) -> dict[str, Any]:
    """Return the messages that left a process, and its spans, in few numbers and little text."""
    left = [message for message in messages if message.direction == "out"]
    words = sorted({word for m in left for word in (m.sender, m.receiver, m.kind)} | {name for name, _, _ in spans})
    number = {word: place for place, word in enumerate(words)}
    rows = [
        (m.round, number[m.sender], number[m.receiver], number[m.kind], m.bytes, int(m.crossed)) for m in left
    ]  # fmt: skip
    return {
        "words": words, "messages": torch.tensor(rows, dtype=torch.int64).reshape(-1, 6),
        "activities": torch.tensor([number[name] for name, _, _ in spans], dtype=torch.int64),
        "times": torch.tensor([times for _, *times in spans], dtype=torch.float64).reshape(-1, 2),
    }  # fmt: skip


def read(record: Mapping[str, Any]) -> tuple[list[Message], list[Span]]:
    """Return what was `written`."""
    words = record["words"]
    messages = [
        Message(number, words[sender], words[receiver], words[kind], size, bool(crossed))
        for number, sender, receiver, kind, size, crossed in record["messages"].tolist()
    ]
    times = zip(record["activities"].tolist(), record["times"].tolist(), strict=True)
    return messages, [(words[activity], start, end) for activity, (start, end) in times]
