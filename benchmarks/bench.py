"""Jobs measured by two processes, each result noted at once: a study that was interrupted goes on where it stopped."""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

from course_lib.classroom.progress import progress

Job = TypeVar("Job")
Result = TypeVar("Result")


class Bench(Generic[Job, Result]):
    """Calls `measure` with jobs, two at a time. What its notes hold is not measured again.

    A job is a dataclass of plain values, a result what JSON can hold. `measure` is a function of a module, for other processes find it
    there by its name. `notes`: the file; None notes nothing.
    """

    def __init__(self, measure: Callable[[Job], Result], notes: Path | None = None) -> None:
        noted = notes.read_text(encoding="utf-8").splitlines() if notes and notes.exists() else []
        self.measure, self.notes = measure, notes
        self.known: dict[str, Result] = {json.dumps(job): found for job, found in map(json.loads, noted)}
        self._pool: Any = None

    def measured(self, jobs: Sequence[Job], label: str) -> list[Result]:
        """Return the results of all jobs, in their order, and show how many are left."""
        if new := [job for job in dict.fromkeys(jobs) if _key(job) not in self.known]:
            # One for the whole study: starting it takes as long as several runs.
            self._pool = self._pool or get_context("spawn").Pool(2)
            advance = progress(len(new), label)
            for done, (job, found) in enumerate(zip(new, self._pool.imap(self.measure, new), strict=True), 1):
                self.known[_key(job)] = found
                if self.notes:
                    with self.notes.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([astuple(job), found]) + "\n")  # type: ignore[call-overload]
                advance(done, len(new))
        return [self.known[_key(job)] for job in jobs]

    def forget(self) -> None:
        """Delete the notes: the study is stored."""
        if self.notes:
            self.notes.unlink(missing_ok=True)


def _key(job: Any) -> str:
    return json.dumps(astuple(job))
