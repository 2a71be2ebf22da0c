"""Is this machine ready for the course? `python -m course_lib doctor`, or `doctor.check()` in a notebook."""

import os
import platform
import socket
import time
from dataclasses import dataclass
from pathlib import Path

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)  # the course is tested with these and what lies between
TESTED_TORCH = "2.13.0"
EMBEDDED = ("digits", "mnist5k", "breast_cancer")
SET_UP_AGAIN = "run `make setup` in the course's folder; on Colab, run the notebook's first cell again"

_GB = 1e9
_COMFORTABLE, _TOO_LITTLE = 2.0, 1.0  # GB free: a lesson stays under 2 GB, and the small ones under 1 GB
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Finding:
    """One thing that the course needs: whether it is there, what was found, and what to do about it (may be "")."""

    ok: bool
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.found}" + (f"\n  → {self.advice}" if self.advice else "")


def check() -> list[Finding]:
    """Look at everything that the course needs, print each finding as it is made, and return them all."""
    findings = []
    for look in (python, torch_build, cores, memory, loopback, workers, embedded_data):
        try:
            finding = look()
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what the doctor is asked about
            finding = Finding(False, f"{look.__name__.replace('_', ' ')}: {_in_a_line(error)}", SET_UP_AGAIN)
        print(finding)
        findings.append(finding)
    healthy = all(finding.ok for finding in findings)
    print("This machine is ready." if healthy else "This machine is not ready yet: see what is marked ✗.")
    return findings


def python(version: str = platform.python_version()) -> Finding:
    """Python's version: at least the oldest that is tested."""
    tested = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST_PYTHON, NEWEST_PYTHON))
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < OLDEST_PYTHON:
        return Finding(False, f"Python {version}", f"install Python {tested}, delete .venv, then run `make setup`")
    newer = f"the course is tested with Python {tested}: should something fail here, try one of these"
    return Finding(True, f"Python {version}", newer if number > NEWEST_PYTHON else "")


def torch_build(version: str | None = None, cuda: str | None = None) -> Finding:
    """torch's version and build: those of the torch that is installed, or the ones passed in."""
    if version is None:
        import torch

        version, cuda = torch.__version__, torch.version.cuda
    number = version.partition("+")[0]
    build = "CPU build" if cuda is None else f"build for GPUs (CUDA {cuda})"
    advice = []
    if number != TESTED_TORCH:
        advice.append(f"the course is tested with torch {TESTED_TORCH}: should something fail here, try that version")
    if cuda is not None:
        advice.append(
            "it works, and the course leaves the GPU alone; the CPU build is several GB smaller: delete .venv, then run "
            "`make setup`"
        )
    return Finding(True, f"torch {number}, {build}", "; ".join(advice))


def cores(count: int | None = None) -> Finding:
    """Processor cores that this process may use."""
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > 1:
        return Finding(True, f"{count} cores")
    return Finding(
        True, "1 core", "everything works, but more slowly: two workers share the core, so no speed-up shows"
    )


def memory(free: float | None = None) -> Finding:
    """Memory that is free, in bytes; in a container, what is left of its limit."""
    free = (_free_memory() if free is None else free) / _GB
    found = f"{free:.1f} GB of memory free"
    if free >= _COMFORTABLE:
        return Finding(True, found)
    advice = "close other programs and the kernels of other notebooks"
    if free >= _TOO_LITTLE:
        return Finding(True, found, f"that is enough for one lesson at a time: {advice}")
    return Finding(False, found, f"a lesson takes up to {_COMFORTABLE:.0f} GB: {advice}")


def loopback() -> Finding:
    """A connection of this machine with itself, which workers need; nothing leaves the machine."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            return Finding(True, "connections within this machine")
    except OSError as error:
        advice = "allow connections to 127.0.0.1 in the firewall or security software; nothing leaves this machine"
        return Finding(False, f"no connection within this machine: {_in_a_line(error)}", advice)


def workers() -> Finding:
    """Two real processes that join through gloo and add up a number each."""
    if not loopback().ok:  # joining would take minutes to fail
        return Finding(False, "two workers cannot join without connections within this machine", "see above")
    from course_lib import cluster

    started = time.perf_counter()
    try:
        sums = cluster.launch(_sum_over_ranks, workers=2, timeout=30.0)
    except (OSError, RuntimeError) as error:
        advice = "close other notebooks and their kernels, restart this kernel, and try again"
        return Finding(False, f"two workers could not add their numbers: {_in_a_line(error)}", advice)
    if sums != [3, 3]:
        return Finding(False, f"two workers added 1 and 2 and got {sums}", SET_UP_AGAIN)
    return Finding(True, f"2 workers joined and added 1 + 2 = 3 in {time.perf_counter() - started:.1f} s")


def embedded_data() -> Finding:
    """The data sets that come with the installed packages."""
    from course_lib import data

    sizes = {name: sum(len(part) for part in data.load(name)) for name in EMBEDDED}
    return Finding(True, "embedded data: " + ", ".join(f"{name} ({size:,} examples)" for name, size in sizes.items()))


def _sum_over_ranks() -> int:
    import torch
    import torch.distributed as dist

    number = torch.tensor([dist.get_rank() + 1])
    dist.all_reduce(number)
    return int(number)


def _free_memory() -> float:
    import psutil

    free = float(psutil.virtual_memory().available)
    left = left_of_limit(_CGROUP)
    return free if left is None else min(free, left)


def left_of_limit(cgroup: Path) -> float | None:
    """Bytes that a container may still take (Linux control groups, version 2), or None where nothing limits it.

    The machine around a container may have far more. Cached files count as free: they make way when memory is short.
    """
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        kinds = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return float(limit - used + int(kinds["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no such file, or "max"
        return None


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
