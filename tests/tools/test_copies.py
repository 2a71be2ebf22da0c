"""Learners' own notebooks: made from those without results, never overwritten, told of newer versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools import copies

ROOT = Path(__file__).resolve().parents[2]


def write(root: Path, source: str) -> None:
    code: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": source,
        "execution_count": None,
        "outputs": [],
    }
    text = {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "# Two ways"}
    notebook = {"cells": [text, code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (root / "learn").mkdir(exist_ok=True)
    (root / "learn" / "00_two_ways.ipynb").write_text(json.dumps(notebook))


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def test_a_copy_is_the_notebook_without_results(tmp_path: Path) -> None:
    write(tmp_path, "train()")
    assert copies.copy(tmp_path) == []
    mine = read(tmp_path / "my_notebooks" / "00_two_ways.ipynb")
    assert mine["cells"] == read(tmp_path / "learn" / "00_two_ways.ipynb")["cells"]


def test_a_learners_work_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "train()")
    copies.copy(tmp_path)
    mine = tmp_path / "my_notebooks" / "00_two_ways.ipynb"
    worked_in = read(mine)
    worked_in["cells"][1]["source"] = "train(mine)"
    mine.write_text(json.dumps(worked_in))
    assert copies.copy(tmp_path) == []
    assert read(mine) == worked_in
    assert list(mine.parent.iterdir()) == [mine]


@pytest.mark.parametrize("spoil", [False, True])
def test_a_newer_version_is_put_beside_the_learners_copy_once(tmp_path: Path, spoil: bool) -> None:
    write(tmp_path, "train()")
    copies.copy(tmp_path)
    mine = tmp_path / "my_notebooks" / "00_two_ways.ipynb"
    if spoil:
        mine.write_text("no notebook")
    before = mine.read_text()
    write(tmp_path, "train(longer=True)")
    (said,) = copies.copy(tmp_path)
    (newer,) = set(mine.parent.iterdir()) - {mine}
    assert said.startswith("There is a newer version of my_notebooks/00_two_ways.ipynb: my_notebooks/" + newer.name)
    assert read(newer)["cells"][1]["source"] == "train(longer=True)"
    assert mine.read_text() == before
    newer.write_text("worked in as well")
    assert copies.copy(tmp_path) == [said]
    assert newer.read_text() == "worked in as well"


def test_make_lab_makes_the_copies_and_opens_them_and_git_ignores_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "-m tools.copies" in makefile and "jupyter lab $(AS_ROOT) my_notebooks/" in makefile
    assert "my_notebooks/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
