"""A study that is interrupted repeats nothing that it has noted."""

import json
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil
import pytest
from bench import Bench


@dataclass(frozen=True)
class Task:
    number: int
    parts: tuple[str, ...] = ("a", "b")  # a list once it has been through JSON


def square(job: Task) -> int:
    if job.number < 0:
        raise ValueError("no square of this one")
    return job.number**2


def test_what_is_noted_is_not_measured_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text(json.dumps([astuple(Task(3)), 10]) + "\n")
    assert Bench(square, notes).measured([Task(3)], "Nothing to do") == [10]


def test_each_result_is_noted_at_once_and_a_job_that_fails_costs_no_other(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    interrupted = Bench(square, notes)
    with pytest.raises(ValueError, match="no square"):
        interrupted.measured([Task(2), Task(4), Task(-1)], "Squares")
    bench = Bench(square, notes)
    assert set(bench.known.values()) == {4, 16}
    assert bench.measured([Task(4), Task(5), Task(2), Task(5)], "Squares") == [16, 25, 4, 25]
    bench.forget()
    assert not notes.exists()


def test_without_notes_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench = Bench(square)
    assert bench.measured([Task(7)], "Squares") == [49]
    assert not list(tmp_path.iterdir())
    before = psutil.Process().children()
    bench.forget()
    assert len(psutil.Process().children()) <= len(before) - 2
