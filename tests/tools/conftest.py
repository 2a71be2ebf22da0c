"""A course of one tiny lesson, with and without its notebook."""

import shutil
from pathlib import Path

import pytest

from tests.tools.tiny import ROOT, TINY, write
from tools import notebooks


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one lesson, under the address of the real one."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write(tmp_path, TINY)
    return tmp_path


@pytest.fixture(scope="module")
def tiny_notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook of the tiny lesson, built once for the tests that start from a built one."""
    root = tmp_path_factory.mktemp("built")
    (root / "lessons").mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    path = notebooks.build(write(root, TINY), root)
    assert path is not None
    return path


@pytest.fixture
def built(course: Path, tiny_notebook: Path) -> Path:
    """The course of one lesson, its notebook built, with the copy that shows no result."""
    shutil.copy(tiny_notebook, course / "notebooks")
    notebooks.copy(course / "lessons/00_tiny.md", course)
    return course
