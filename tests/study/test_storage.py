"""A study keeps to its own files, and to one run of itself at a time."""

import errno
import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest

from course_lib import rounds, study
from course_lib.plans import Plan
from course_lib.study import storage
from tests.study.runs import PLANS, fit, quiet

FEDSGD = {"FedSGD": PLANS["FedSGD"]}


def test_only_what_a_killed_study_left_is_deleted(tmp_path: Path) -> None:
    kept = ["thesis.tmp", "notes.12.tmp", "claims.tmp", "0123456789abcdef.tmp", "study.tmp"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / "folder.tmp").mkdir()
    left = [tmp_path / "0123456789abcdef.123.tmp", tmp_path / "study.123.tmp", tmp_path / "study.claims.123"]
    left[0].touch()
    left[1].touch()
    left[2].mkdir()
    study.run(tmp_path, FEDSGD, [0], fit, workers=1, progress=quiet)
    assert all((tmp_path / name).read_text() == "mine" for name in kept) and (tmp_path / "folder.tmp").is_dir()
    assert not any(map(Path.exists, left))


@pytest.mark.parametrize("content", ['{"courses": []}', "[1]"])
def test_somebody_else_s_study_json_is_not_written_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(ValueError, match="use another folder"):
        study.run(tmp_path, FEDSGD, [0], fit, workers=1, progress=quiet)
    assert (tmp_path / "study.json").read_text() == content


def test_the_same_study_in_a_second_thread_is_told_so_and_the_first_one_finishes(tmp_path: Path) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    found = []

    def slow(plan: Plan, seed: int) -> rounds.Run:
        at_work.set()
        assert go_on.wait(60)
        return fit(plan, seed)

    def first() -> None:
        found.append(study.run(tmp_path, FEDSGD, [0], slow, setting="digits", workers=1, progress=quiet))

    thread = threading.Thread(target=first)
    thread.start()
    assert at_work.wait(60)
    try:
        with pytest.raises(RuntimeError, match="by another thread of this process: wait for it"):
            study.run(tmp_path, FEDSGD, [0], fit, setting="digits", workers=1, progress=quiet)
    finally:
        go_on.set()
        thread.join()
    assert not found[0].missing
    assert (
        study.run(tmp_path, FEDSGD, [0], fit, setting="digits", workers=1, progress=quiet)
        .table()
        .equals(found[0].table())
    )


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOLCK, OSError, "cannot lock files .*use a folder on a local disk"),
        (errno.ENOTSUP, OSError, "cannot lock files"), (errno.EAGAIN, RuntimeError, "by another process: wait for it"),
    ],
)  # fmt: skip
def test_a_file_system_without_locks_is_not_taken_for_a_second_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], said: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "as told")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(kind, match=said), storage.opened(tmp_path):
        pass
    monkeypatch.undo()
    with storage.opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be stored in .*: use a folder that you can write to"):
        study.run(tmp_path / "file" / "study", FEDSGD, [0], fit, workers=1, progress=quiet)
