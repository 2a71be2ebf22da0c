"""Guesses outlive the kernel: one small file beside the learner's notebook.

Only a notebook that a Jupyter server runs has one: the server names the notebook in JPY_SESSION_NAME. nbval, nbclient and
tests start kernels without it, so no stored guess changes what they see; on Colab a guess lasts as long as the kernel.
"""

import contextlib
import json
import os
from pathlib import Path

Guess = str | float


def file() -> Path | None:
    """Return where this notebook's guesses are kept, or None where no Jupyter server runs it."""
    session = os.environ.get("JPY_SESSION_NAME", "")
    name = Path(session).name
    return Path.cwd() / f".{name.removesuffix('.ipynb')}.guesses.json" if name.endswith(".ipynb") else None


def read(key: str) -> Guess | None:
    """Return the guess kept under `key`; None where there is none, or no file that can be read."""
    found = _all().get(key)
    return found if isinstance(found, str | int | float) else None


def write(key: str, guess: Guess | None) -> None:
    """Keep a guess under `key`; None forgets it. In a folder that cannot be written, it lasts as long as the kernel."""
    path = file()
    if path is None:
        return
    kept = _all()
    kept.pop(key, None)
    if guess is not None:
        kept[key] = guess
    part = path.with_suffix(".part")
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(kept), encoding="utf-8")
        part.replace(path)


def _all() -> dict[str, Guess]:
    path = file()
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
