"""Give learners notebooks of their own, without results: `python -m tools.copies`, which `make lab` calls.

`notebooks/` keeps its outputs, for nbval and for readers on the web. A learner works in `my_notebooks/`, which git ignores. A
copy that is there is never overwritten: where its lesson has changed since, the new version is put beside it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "my_notebooks"


def copy(root: Path) -> list[str]:
    """Put a copy of each notebook into `my_notebooks/` where there is none; return a sentence for each newer version."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    news = []
    for notebook in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        fresh = without_results(json.loads(notebook.read_text(encoding="utf-8")))
        version = fresh["metadata"]["course_version"]
        mine = folder / notebook.name
        if not mine.exists():
            _write(mine, fresh)
        elif _version(mine) != version:
            newer = folder / f"{notebook.stem}.{version}.ipynb"
            if not newer.exists():
                _write(newer, fresh)
            news.append(
                f"There is a newer version of {FOLDER}/{mine.name}: {FOLDER}/{newer.name}. Yours is as you left it."
            )
    return news


def without_results(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with no cell run, marked with the version of its text and code."""
    cells = []
    for cell in notebook["cells"]:
        emptied: dict[str, Any] = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        cells.append(cell | emptied)
    version = hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:8]
    return notebook | {"cells": cells, "metadata": notebook["metadata"] | {"course_version": version}}


def _version(notebook: Path) -> str | None:
    """Return the version that a copy was made from; None for one that does not say, or cannot be read."""
    try:
        return str(json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["course_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, notebook: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    for sentence in copy(ROOT):
        print(sentence)
