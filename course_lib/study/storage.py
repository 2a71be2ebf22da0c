"""A study's folder: one file a run, there in full or not at all, whenever the process that writes it is killed.

`<key>.json` holds one finished run and `study.json` lists which runs belong to the study, under which names; files with other
endings are unfinished work.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

INDEX = "study.json"
CLAIMS = "claims.tmp"


def write(path: Path, content: Any) -> None:
    """Write `content` as JSON under a temporary name, make sure that it is on the disk, and only then give it its name."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with open(unfinished, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def read(path: Path) -> Any:
    """Return what `write` wrote. Raises ValueError for a file that something else has spoiled."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no result of a study ({error}): delete it, and study.run repeats that run"
        ) from error


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Keep the folder to this process, without what a killed one left unfinished. Raises RuntimeError where it is in use."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as file:
        _lock(file.fileno(), folder)
        for left in folder.glob("*.tmp"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        yield


def _lock(descriptor: int, folder: Path) -> None:
    """Lock an open file until this process closes it or ends, however it ends."""
    with suppress(ImportError):  # Windows has no such lock
        import fcntl

        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError(
                f"the study in {folder} is being run by another process: wait for it or stop it, or use another folder"
            ) from error


@contextmanager
def claims(folder: Path) -> Iterator[Path]:
    """Provide a folder in which workers claim runs, and remove it in the end."""
    place = folder / CLAIMS
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def claim(place: Path, name: str) -> bool:
    """Return whether this process is the first to claim `name`."""
    try:
        (place / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
