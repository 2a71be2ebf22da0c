"""Jobs measured by two processes, each result noted at once: a study that was interrupted goes on where it stopped."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

from course_lib import data, study
from course_lib.classroom.progress import progress
from course_lib.data import Dataset

Task = TypeVar("Task")
Result = TypeVar("Result")


class Bench(Generic[Task, Result]):
    """Calls `measure` with jobs, two at a time. What its notes hold is not measured again.

    A job is a dataclass of plain values, a result what JSON can hold. `measure` is a function of a module, for other processes find it
    there by its name. `notes`: the file; None notes nothing.
    """

    def __init__(self, measure: Callable[[Task], Result], notes: Path | None = None) -> None:
        noted = notes.read_text(encoding="utf-8").splitlines() if notes and notes.exists() else []
        self.measure, self.notes = measure, notes
        self.known: dict[str, Result] = {json.dumps(job): found for job, found in map(json.loads, noted)}
        self._pool: Any = None

    def measured(self, jobs: Sequence[Task], label: str) -> list[Result]:
        """Return the results of all jobs, in their order, and show how many are left."""
        if new := [job for job in dict.fromkeys(jobs) if _key(job) not in self.known]:
            # One for the whole study: starting it takes as long as several runs.
            self._pool = self._pool or get_context("spawn").Pool(2)
            advance = progress(len(new), label)
            for done, (job, found) in enumerate(zip(new, self._pool.imap(self.measure, new), strict=True), 1):
                self.known[_key(job)] = found
                if self.notes:
                    with self.notes.open("a", encoding="utf-8") as file:
                        file.write(f"[{_key(job)}, {json.dumps(found)}]\n")
                advance(done, len(new))
        return [self.known[_key(job)] for job in jobs]

    def forget(self) -> None:
        """Delete the notes, for the study is stored, and end the processes."""
        if self.notes:
            self.notes.unlink(missing_ok=True)
        if self._pool:
            self._pool.terminate()
            self._pool.join()


def _key(job: Any) -> str:
    return json.dumps(astuple(job))


@dataclass(frozen=True)
class Job:
    """One run of a contender in a part of a study. `tuning`: see `images`."""

    part: str
    name: str
    rate: float
    seed: int
    tuning: bool = False


@cache
def images(dataset: str, tuning: bool) -> tuple[Dataset, Dataset]:
    """Return what is trained on, and what is judged on; for tuning, four fifths of the training images, and the others."""
    train, test = data.load(dataset)
    return data.hold_out(train, 0.2) if tuning else (train, test)


def tuned(
    bench: Bench[Job, dict[str, Any]], part: str, name: str, grid: Sequence[float], seeds: Sequence[int], widen: int = 2,
    by: str = "accuracy",
) -> study.Tuned:  # fmt: skip
    """Return a contender's rate: the best score, which `by` names in a result, for the worst of the tuning seeds."""

    def score(jobs: Sequence[tuple[float, int]]) -> list[float]:
        made = [Job(part, name, rate, seed, tuning=True) for rate, seed in jobs]
        return [found[by] for found in bench.measured(made, f"Tuning {part}, {name}")]

    return study.tune(score, grid, seeds, widen=widen)


Study = dict[str, Any]


def command(
    doc: str | None, fast: str, whole: Callable[[Bench[Task, Result]], Study], quick: Callable[[Bench[Task, Result]], Study],
    measure: Callable[[Task], Result], line: Callable[[Study], Study], stored: Path, notes: Path,
    text: Callable[[Study], str],
) -> None:  # fmt: skip
    """Be a benchmark's command: carry out the `whole` study, store it as `text`, and print one line of JSON.

    With --quick, which `fast` explains, carry out the quick one, and store nothing.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{fast}; stores nothing")
    short = parser.parse_args().quick
    bench = Bench(measure, None if short else notes)
    found = quick(bench) if short else whole(bench)
    if not short:
        stored.write_text(text(found), encoding="utf-8")
    bench.forget()
    print(json.dumps(line(found)))


def indented(found: Mapping[str, Any]) -> str:
    """Return a small study as JSON that reads well in a difference between two versions."""
    return json.dumps(found, indent=1) + "\n"


def in_lines(found: Mapping[str, Any]) -> str:
    """Return a study as JSON with one row or tuning a line: indented whole, its curves would take five times the space."""
    long = ("tuning", "rows")
    parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items() if name not in long]
    parts += [f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, found[name])) + "\n]" for name in long]
    return "{\n" + ",\n".join(parts) + "\n}\n"
