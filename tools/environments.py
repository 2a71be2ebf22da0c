"""Write environment.yml and binder/ from requirements.lock, so that every way in installs the same.

`make lock` runs this after pinning. The lock has what everybody needs, authors included; a second file, pinned to the same
versions, has what opening the course needs, and is the only argument.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
WRITTEN_BY = "# Written by `make lock` from pyproject.toml and requirements.lock: change those instead."

# `environments` in pyproject.toml has the same bound: nothing is locked for what is newer.
PYTHONS, TOO_NEW = ("3.11", "3.12", "3.13", "3.14"), "3.15"
BINDERS_PYTHON = PYTHONS[0]  # Binder has one; this is the one that notebooks are built with

# Where the course runs: what holds in all of these needs no condition in the lock.
_SUPPORTED = [
    {"sys_platform": system, "os_name": kind, "platform_system": name, "python_full_version": python,
     "implementation_name": "cpython", "platform_python_implementation": "CPython"}
    for system, kind, name in (("linux", "posix", "Linux"), ("darwin", "posix", "Darwin"), ("win32", "nt", "Windows"))
    for python in (f"{version}.{patch}" for version in PYTHONS for patch in (0, 14))
]  # fmt: skip


@dataclass(frozen=True)
class Pin:
    """One line of the lock: a version, and where it applies ("" is everywhere)."""

    name: str
    version: str
    marker: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def tidy(lock: str) -> str:
    """Return the lock without the conditions that hold wherever the course runs at all: uv repeats them on every line."""
    return re.sub(r"^(\S+==\S+) ; (.*)$", _without_what_always_holds, lock, flags=re.MULTILINE)


def _without_what_always_holds(line: re.Match[str]) -> str:
    always = all(Marker(line[2]).evaluate(dict(environment)) for environment in _SUPPORTED)
    return line[1] if always else line[0]


def pins(lock: str) -> list[Pin]:
    """Return the lock's lines, in their order.

    Raises ValueError if a line is not a pin: nothing in the lock may float.
    """
    found = []
    for line in lock.splitlines():
        line = line.rstrip()
        if not line or line.lstrip().startswith("#"):
            continue
        if not (match := re.fullmatch(r"([a-z0-9-]+)==([^ ;]+)(?: ; (.+))?", line)):
            raise ValueError(f"requirements.lock has {line!r}, which pins nothing: make it anew with `make lock`")
        found.append(Pin(match[1], match[2], match[3] or ""))
    return found


def requirements(needed: list[Pin]) -> list[str]:
    """Return the lines that install `needed` with pip, torch in its build without GPU libraries."""
    lines = [f"--extra-index-url {CPU_TORCH}"]
    for pin in needed:
        if pin.name == "torch":
            lines.append(f"torch=={pin.version}+cpu ; sys_platform == 'linux'")
            lines.append(f"torch=={pin.version} ; sys_platform != 'linux'")
        else:
            lines.append(str(pin))
    return lines


def environment_yml(name: str, needed: list[Pin]) -> str:
    """Return the conda environment, which installs the course from the folder that holds the file."""
    pip_lines = "".join(f'      - "{line}"\n' for line in [*requirements(needed), "-e ."])
    return (
        f"{WRITTEN_BY}\nname: {name}\nchannels:\n  - conda-forge\ndependencies:\n"
        f"  - python>={PYTHONS[0]},<{TOO_NEW}\n  - pip\n  - pip:\n{pip_lines}"
    )


def files(name: str, needed: list[Pin]) -> dict[str, str]:
    """Return the text of every derived file, by its path from the root."""
    return {
        "environment.yml": environment_yml(name, needed),
        "binder/runtime.txt": f"python-{BINDERS_PYTHON}\n",
        "binder/requirements.txt": "\n".join([WRITTEN_BY, *requirements(needed), ""]),
        # The packages come with requirements.txt: Binder keeps that layer for as long as the lock stays the same.
        "binder/postBuild": f"#!/bin/sh\n{WRITTEN_BY}\npip install --no-deps --no-build-isolation -e .\n",
    }


def main(learners: Path) -> None:
    """Tidy the lock and write every derived file; `learners` holds the pins that opening the course needs."""
    lock = ROOT / "requirements.lock"
    lock.write_text(tidy(lock.read_text()))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, text in files(project["name"], pins(tidy(learners.read_text()))).items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (ROOT / "binder" / "postBuild").chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
