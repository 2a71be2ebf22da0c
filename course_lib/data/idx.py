"""Files in the format of MNIST (IDX, LeCun et al. 1998): read, checked by what is in them, and found where torchvision leaves them.

torchvision unpacks what it downloads, to MNIST/raw in the folder that it is given.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def content(path: Path) -> bytes:
    """Return what is in a file, unpacked where it is packed (gzip)."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def read(path: Path) -> np.ndarray:
    """Return the array of bytes that a file holds, packed or not."""
    found = content(path)
    # Two zero bytes, the type (8 = unsigned byte), the number of dimensions, then each as a big-endian integer.
    dimensions = found[3]
    shape = np.frombuffer(found, ">i4", dimensions, offset=4)
    return np.frombuffer(found, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def folders(own: Path) -> list[Path]:
    """Return where MNIST may lie: in the course's `own` folder, and in those that torchvision is usually given."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    roots = [
        own, Path("data").absolute(), Path("../data").absolute(), Path.home() / "data", torch_home, torch_home / "datasets" / "vision",
    ]  # fmt: skip
    return [own / "mnist", *(folder for root in roots for folder in (root, root / "MNIST" / "raw"))]


def find(places: list[Path], checksums: Mapping[str, str]) -> tuple[dict[str, Path], list[str]]:
    """Return the path of each file found, by its name, and what is wrong with files of that name that were passed over.

    `checksums`: sha256 of what is in each file, by its name without `.gz`; it is looked for packed and unpacked.
    """
    found: dict[str, Path] = {}
    wrong: list[str] = []
    for name, expected in checksums.items():
        for path in (folder / (name + ending) for folder in places for ending in ("", ".gz")):
            if name in found or not path.is_file():
                continue
            if trouble := _trouble(path, expected):
                wrong.append(f"{path} {trouble}")
            else:
                found[name] = path
    return found, wrong


def _trouble(path: Path, expected: str) -> str:
    try:
        digest = hashlib.sha256(content(path)).hexdigest()
    except (OSError, EOFError, zlib.error) as error:  # what gzip raises for files that are cut off or altered
        return f"is damaged or cannot be read ({type(error).__name__}: {error})"
    if digest == expected:
        return ""
    return f"is damaged or another file: the sha256 of what is in it is {digest}, and not {expected}"
