"""A study's folder: one file a run, there in full or not at all, whenever the process that writes it is killed.

`<key>.json` holds one finished run and `study.json` lists which runs belong to the study, under which names; names
that end in the number of a process are unfinished work.
"""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

INDEX = "study.json"
# What a killed process leaves behind: an unfinished file, or a folder of claims. Nothing else in the folder is ours to delete.
_LEFT = re.compile(r"([0-9a-f]{16}|study)\.\d+\.tmp|study\.claims\.\d+")
_open_here: set[Path] = set()
_guard = threading.Lock()


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
    """Keep the folder to this call, without what a killed one left unfinished. Raises RuntimeError where it is in use,
    OSError where nothing can be written or locked, and ValueError where the index is not a study's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+", encoding="utf-8")  # noqa: SIM115 (closed below, by `with`)
    except OSError as error:
        raise OSError(f"a study cannot be stored in {folder} ({error}): use a folder that you can write to") from error
    with _in_this_process(folder), file:
        _lock(file.fileno(), folder)
        if (index := folder / INDEX).exists() and not (isinstance(found := read(index), dict) and "runs" in found):
            raise ValueError(f"{index} is something else's, and a study would write over it: use another folder")
        for left in folder.iterdir():
            if _LEFT.fullmatch(left.name):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield


@contextmanager
def _in_this_process(folder: Path) -> Iterator[None]:
    """Keep the folder to one thread: the lock of a file is between processes."""
    place = folder.resolve()
    with _guard:
        if place in _open_here:
            raise RuntimeError(
                f"the study in {folder} is being run by another thread of this process: wait for it, or use another folder"
            )
        _open_here.add(place)
    try:
        yield
    finally:
        _open_here.discard(place)


def _lock(descriptor: int, folder: Path) -> None:
    """Lock an open file until this process closes it or ends, however it ends."""
    with suppress(ImportError):  # Windows has no such lock
        import fcntl

        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # the two that say that somebody else holds it
            raise RuntimeError(
                f"the study in {folder} is being run by another process: wait for it or stop it, or use another folder"
            ) from error
        except OSError as error:
            raise OSError(
                f"the file system of {folder} cannot lock files ({error}), so two studies could spoil each other's results: use "
                "a folder on a local disk and copy it there afterwards"
            ) from error


@contextmanager
def claims(folder: Path) -> Iterator[Path]:
    """Provide a folder in which workers claim runs, and remove it in the end."""
    place = folder / f"study.claims.{os.getpid()}"
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
