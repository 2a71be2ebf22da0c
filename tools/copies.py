"""Give learners notebooks of their own: `python -m tools.copies`, which `make lab` calls.

`learn/` holds every lesson without results, and git keeps it. A learner works in `my_notebooks/`, which git ignores, so that
a pull changes nothing there. A copy that is there is never overwritten: where its lesson has changed since, the new version
is put beside it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = "learn"  # what Binder and Colab open
FOLDER = "my_notebooks"


def copy(root: Path) -> list[str]:
    """Put a copy of each lesson into `my_notebooks/` where there is none; return a sentence for each newer version."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    news = []
    for lesson in sorted((root / NOT_RUN).glob("[0-9][0-9]_*.ipynb")):
        text = lesson.read_text(encoding="utf-8")
        fresh, version = json.loads(text), hashlib.sha256(text.encode()).hexdigest()[:8]
        fresh["metadata"]["course_version"] = version
        mine = folder / lesson.name
        if not mine.exists():
            _write(mine, fresh)
        elif _version(mine) != version:
            newer = folder / f"{lesson.stem}.{version}.ipynb"
            if not newer.exists():
                _write(newer, fresh)
            news.append(
                f"There is a newer version of {FOLDER}/{mine.name}: {FOLDER}/{newer.name}. Yours is as you left it."
            )
    return news


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
