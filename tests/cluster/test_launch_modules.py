"""A module that somebody is at work on: every rank runs what its file says at the launch."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from course_lib import cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A learner's own module, imported here."""
    write(tmp_path / "own_helper.py", factor=3)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_helper")
    del sys.modules["own_helper"]
    cluster.shutdown()


def write(file: Path, factor: int) -> None:
    file.write_text(f"FACTOR = {factor}\n\ndef scaled(x):\n    return x * FACTOR\n")


def edit(module: ModuleType, factor: int) -> None:
    write(Path(str(module.__file__)), factor)
    importlib.reload(module)


def test_an_edited_module_is_the_new_one_on_every_rank_also_where_more_workers_join(helper):
    assert cluster.launch(helper.scaled, 1, workers=2) == [3, 3]
    edit(helper, 500)
    assert cluster.launch(helper.scaled, 1, workers=3) == [500, 500, 500]


def test_a_module_that_only_the_workers_import_counts_too(helper):
    def through_an_import() -> int:
        import own_helper  # type: ignore[import-not-found]  # the fixture writes it

        return own_helper.scaled(1)

    assert cluster.launch(through_an_import) == [3, 3]
    write(Path(str(helper.__file__)), 500)
    assert cluster.launch(through_an_import) == [500, 500]


def test_an_edit_of_a_file_that_nobody_imported_leaves_the_workers_warm(helper, tmp_path):
    def both() -> tuple[int, int]:
        return os.getpid(), helper.scaled(1)

    before = cluster.launch(both)
    write(tmp_path / "not_imported.py", 4)
    assert cluster.launch(both) == before
