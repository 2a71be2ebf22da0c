"""What outlives a machine: checkpoints that are there in full or not at all, and a launch that begins again from the last of them.

A run's randomness is keyed by (seed, round, client), see `learning.keys`, so no generator has to be stored: who knows the round knows
all numbers that are still to be drawn. `rounds.fit(..., checkpoints=Checkpoints(folder))` says what a run has to remember beside that.
"""

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from course_lib.cluster import WorkerError
from course_lib.distributed.packed import pack, unpack
from course_lib.settings import whole

_Result = TypeVar("_Result")

# The first line of a file says what it is and in which version; 64 hexadecimal digits follow, the SHA-256 of all the rest.
_FIRST_LINE = b"course_lib checkpoint 1\n"
_DIGITS = 64
_NAME = re.compile(r"round-(\d+)\.checkpoint")
_UNFINISHED = re.compile(r"round-\d+\.checkpoint\.\d+\.tmp")


class DamagedError(ValueError):
    """A file is not the checkpoint that was written."""


@dataclass(frozen=True)
class Checkpoints:
    """A folder with the checkpoints of one run.

    `every`: rounds between two of them. `keep`: how many are kept: with the last one damaged, the one before it is used.
    Raises ValueError for numbers below 1.
    """

    folder: str | Path
    every: int = 10
    keep: int = 3

    def __post_init__(self) -> None:
        for name in ("every", "keep"):
            whole(getattr(self, name), name, 1)

    def save(self, done: int, identity: Mapping[str, str], content: Any) -> Path:
        """Write what a run remembers after `done` rounds; return the file. `identity`: what the run depends on, by name.

        Makes the folder if need be. Raises ValueError for a negative number of rounds, TypeError as `packed.pack` does for what cannot be
        stored, and OSError where nothing can be written.
        """
        path = Path(self.folder) / f"round-{whole(done, 'done', 0):06}.checkpoint"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, sealed(pack({"identity": dict(identity), "done": done, "content": content})))
        for old in self.files()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def files(self) -> list[Path]:
        """Return the checkpoints in the folder, the latest first."""
        found = [path for path in Path(self.folder).glob("*") if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: -int(path.name[6:-11]))

    def latest(self, identity: Mapping[str, str] | None = None) -> Any:
        """Return what the last good checkpoint holds, or None where there is none.

        Warns of damaged ones, which are passed over. Raises ValueError where the last good one is another run's than `identity`
        says, naming what differs.
        """
        for path in self.files():
            try:
                found = opened(path.read_bytes())
            except DamagedError as error:
                warnings.warn(
                    f"{path} is damaged ({error}), so the one before it is used", RuntimeWarning, stacklevel=2
                )
                continue
            if identity is not None and found["identity"] != dict(identity):
                raise ValueError(
                    f"{path} is a checkpoint of another run: {_difference(found['identity'], identity)}; to go on with that "
                    "run, ask for the same again; to begin another one, take another folder"
                )
            return found["content"]
        return None

    def prepare(self) -> None:
        """Make the folder, and remove what a killed process left unfinished. Raises OSError where nothing can be written."""
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if _UNFINISHED.fullmatch(path.name):
                    path.unlink()
            write(trial := folder / f"round-0.checkpoint.{os.getpid()}.tmp", b"")
            trial.unlink()
        except OSError as error:
            raise OSError(
                f"checkpoints cannot be kept in {folder} ({error}): use a folder that you can write to"
            ) from error


def _difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Say what two runs do not have in common."""
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not the same"


def write(path: Path, content: bytes) -> None:
    """Write a file so that whenever the process or the machine stops, its name stands for all of it or for what it was before."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # on the disk, not only on its way there
    os.replace(unfinished, path)  # one step: nobody ever sees half of it
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too
    finally:
        os.close(folder)


def sealed(content: bytes) -> bytes:
    """Return the bytes of a checkpoint's file."""
    return _FIRST_LINE + sha256(content).hexdigest().encode() + content


def opened(file: bytes) -> Any:
    """Return what a checkpoint's file holds. Raises DamagedError, saying how, for bytes that are not as they were written."""
    start = len(_FIRST_LINE) + _DIGITS
    if not file:
        raise DamagedError("it is empty")
    if not file.startswith(_FIRST_LINE):
        raise DamagedError("it does not begin as a checkpoint does")
    content = file[start:]
    if sha256(content).hexdigest().encode() != file[len(_FIRST_LINE) : start]:
        raise DamagedError("its checksum does not fit what it holds")
    try:
        found = unpack(content)
    except (ValueError, TypeError, IndexError) as error:
        raise DamagedError(f"what it holds is no checkpoint: {error}") from error
    if not (isinstance(found, dict) and found.keys() >= {"identity", "content"}):
        raise DamagedError("what it holds is no checkpoint")
    return found


def restarting(
    run: Callable[[], _Result], restarts: int = 3, tell: Callable[[str], None] = print
) -> _Result:  # fmt: skip
    """Return `run()`; where a worker dies or hangs, call it again, at most `restarts` times.

    `run` should go on from where it was, such as `lambda: rounds.fit(..., checkpoints=...)`. `tell` is called with a line for each
    restart. A worker that *raised* would raise again, so that is passed on. Raises cluster.WorkerError as `run` does, ValueError for a negative number, and RuntimeError under torchrun, whose agent starts the processes again itself: give it `--max-restarts`.
    """
    restarts = whole(restarts, "restarts", 0)
    if dist.is_torchelastic_launched():
        raise RuntimeError(
            "under torchrun the processes that are left cannot begin again: use torchrun --max-restarts=3"
        )
    for attempt in range(1, restarts + 1):
        try:
            return run()
        except WorkerError as error:
            if error.cause == "raised":
                raise
            tell(f"{str(error).splitlines()[0]} Restart {attempt} of {restarts}.")
    return run()
