"""The Makefile does what its help says: no work twice, torch for CPU first, and a sentence where it cannot go on."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.waiting import until
from tools import copies
from tools.environments import PYTHONS

ROOT = Path(__file__).resolve().parents[1]
CPU_TORCH = "https://download.pytorch.org/whl/cpu"

# Stands in for pip and notes what it was asked; PIP_FAILS is a pattern of what it fails at.
PIP = """#!/bin/sh
echo "$PIP_CONSTRAINT|$PIP_BUILD_CONSTRAINT|$*" >> pip.log
case "$*" in $PIP_FAILS) exit 1;; esac
"""
OLDER_PYTHON = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.4\nexit 1\n'

AS_ROOT = ["--allow-root"] if os.getuid() == 0 else []

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what make reads, and a virtual environment whose pip only takes notes."""
    folder = tmp_path / "a clone"
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        folder.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder)
    (folder / "learn").mkdir()
    (folder / "learn" / "00_two_ways.ipynb").touch()
    for name in ("python", "pip"):
        executable(folder / ".venv" / "bin" / name, PIP)
    return folder


@pytest.fixture
def make(clone: Path) -> Make:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(
            ["make", *words], cwd=clone, env={**inherited, "PIP_FAILS": "nothing", **variables}, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def asked_of_pip(clone: Path) -> list[list[str]]:
    """One entry a call: the constraints of packages, those of builds, and the arguments."""
    return [line.split("|") for line in (clone / "pip.log").read_text().splitlines()]


def test_help_lists_every_target(make: Make) -> None:
    targets = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0].split()
    assert re.findall(r"^  make ([a-z-]+) +\w", make().stdout, re.MULTILINE) == targets


def test_torch_comes_first_from_a_wheel_at_hand_without_asking_an_index(make: Make, clone: Path) -> None:
    assert make("setup").returncode == 0
    build = "+cpu" if os.uname().sysname == "Linux" else ""
    first, second = asked_of_pip(clone)
    assert first[2] == f"install --quiet --no-deps --no-index torch==2.13.0{build}"
    assert second == ["requirements.lock", "requirements.lock", "install -e .[lab]"]


def test_without_a_wheel_torch_comes_from_its_cpu_index_which_nothing_else_asks(make: Make, clone: Path) -> None:
    assert make("setup", PIP_FAILS="*--no-index*").returncode == 0
    asked = [arguments for *_, arguments in asked_of_pip(clone)]
    assert [CPU_TORCH in arguments for arguments in asked] == [False, True, False]


def test_where_torch_cannot_be_had_it_says_so_and_installs_nothing_else(make: Make, clone: Path) -> None:
    done = make("setup", PIP_FAILS="*torch*")
    assert done.returncode != 0
    assert f"could not be fetched from {CPU_TORCH}" in done.stdout
    assert "PIP_FIND_LINKS" in done.stdout
    assert "install -e" not in (clone / "pip.log").read_text()
    assert make("-q", "setup").returncode == 1, "the next `make setup` tries again"


def test_a_target_that_is_up_to_date_does_no_work_twice(make: Make, clone: Path) -> None:
    assert make("setup").returncode == 0
    assert make("-q", "setup").returncode == 0
    assert make("-q", "setup-tests").returncode == 1
    assert make("setup-tests").returncode == 0
    assert asked_of_pip(clone)[-1][2] == "install -e .[lab,dev,peers]"
    calls = len(asked_of_pip(clone))
    for target in ("setup", "setup-tests"):
        assert make(target).returncode == 0
    assert len(asked_of_pip(clone)) == calls


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements.lock"])
def test_a_changed_list_of_packages_is_installed_again(make: Make, clone: Path, changed: str) -> None:
    make("setup-tests")
    later = (clone / ".venv" / ".setup-tests").stat().st_mtime + 1
    os.utime(clone / changed, (later, later))
    assert make("-q", "setup").returncode == 1
    assert make("-q", "setup-tests").returncode == 1


def test_lab_opens_lesson_00_after_setting_up(make: Make) -> None:
    *before, last = make("-n", "lab").stdout.splitlines()
    assert any("install -e '.[lab]'" in line for line in before)
    assert last.split() == [".venv/bin/jupyter", "lab", *AS_ROOT, "my_notebooks/00_two_ways.ipynb"]


@pytest.mark.slow
def test_a_browser_is_sent_to_lesson_00(make: Make, tmp_path: Path) -> None:
    *_, notebook = make("-n", "lab").stdout.split()
    shutil.copytree(ROOT / "learn", tmp_path / "learn")
    copies.copy(tmp_path)
    asked = tmp_path / "asked"
    executable(tmp_path / "browser", f'#!/bin/sh\ncat "${{1#file://}}" > {asked}\n')  # a page that redirects
    jupyter = str(Path(sys.executable).with_name("jupyter"))
    variables = {"BROWSER": str(tmp_path / "browser"), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    with (tmp_path / "log").open("w") as log:
        lab = subprocess.Popen(
            [jupyter, "lab", *AS_ROOT, notebook], cwd=tmp_path, env=os.environ | variables, stdout=log, stderr=log
        )
    try:
        until(lambda: (asked.exists() and asked.read_text()) or lab.poll() is not None)
        assert lab.poll() is None, (tmp_path / "log").read_text()
    finally:
        lab.terminate()
        lab.wait(timeout=60)
    assert re.search(r"http://localhost:\d+/lab/tree/00_two_ways\.ipynb\b", asked.read_text())


def test_another_python_is_refused_with_the_version_and_what_to_do(make: Make, clone: Path, tmp_path: Path) -> None:
    shutil.rmtree(clone / ".venv")
    executable(tmp_path / "older", OLDER_PYTHON)
    done = make("setup", f"PYTHON={tmp_path / 'older'}")
    assert done.returncode != 0
    assert "needs Python 3.11 to 3.14 with its venv, and found: Python 3.10.4" in done.stdout
    assert "make PYTHON=" in done.stdout
    assert not (clone / ".venv").exists()


def test_a_machine_without_a_python_that_fits_is_told_what_it_has(make: Make, clone: Path, tmp_path: Path) -> None:
    shutil.rmtree(clone / ".venv")
    tools = tmp_path / "tools"
    executable(tools / "python3", OLDER_PYTHON)
    for name in ("make", "sh", "uname", "sed", "echo", "test"):
        (tools / name).symlink_to(shutil.which(name) or "")
    done = make("setup", PATH=str(tools))
    assert done.returncode != 0
    assert "found: Python 3.10.4" in done.stdout
    assert not (clone / ".venv").exists()


def test_the_newest_python_that_can_make_an_environment_is_taken(make: Make, clone: Path, tmp_path: Path) -> None:
    shutil.rmtree(clone / ".venv")
    pythons = machine_with({"3.10": "venv", "3.12": "venv", "3.13": "venv", "3.14": "", "3.15": "venv"}, tmp_path)
    assert chosen(make("-n", "setup", PATH=pythons, PIP_FIND_LINKS="")) == "python3.13"


def test_where_torchs_wheel_is_at_hand_the_python_that_it_is_for_is_taken(
    make: Make, clone: Path, tmp_path: Path
) -> None:
    shutil.rmtree(clone / ".venv")
    pythons = machine_with({"3.11": "venv", "3.12": "venv", "3.13": "venv"}, tmp_path)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "torch-2.12.0+cpu-cp312-cp312-linux_x86_64.whl"):
        (wheels / name).touch()
    assert chosen(make("-n", "setup", PATH=pythons, PIP_FIND_LINKS=str(wheels))) == "python3.11"
    (wheels / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").rename(wheels / "torch-2.13.0+cpu-cp310-cp310-any.whl")
    assert chosen(make("-n", "setup", PATH=pythons, PIP_FIND_LINKS=str(wheels))) == "python3.13"


def machine_with(pythons: dict[str, str], folder: Path) -> str:
    """Return a PATH with these Pythons by version, each real but for its version; those without "venv" cannot make one."""
    for version, venv in pythons.items():
        pretend = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 0)" + (
            "" if venv else "; sys.modules['ensurepip'] = None"
        )
        script = f'#!/bin/sh\ncode="{pretend}\n$2"; shift 2\nexec {sys.executable} -c "$code" "$@"\n'
        executable(folder / "pythons" / f"python{version}", script)
    for name in ("make", "sh", "uname", "sed", "echo", "test", "id"):
        (folder / "pythons" / name).symlink_to(shutil.which(name) or "")
    return str(folder / "pythons")


def chosen(done: subprocess.CompletedProcess[str]) -> str:
    [python] = re.findall(r"^(python\S*) -m venv \.venv$", done.stdout, re.MULTILINE)
    return python


def test_what_continuous_integration_calls_exists(make: Make) -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    called = re.findall(r"^(?:exec )?make ([a-z-]+)(?: PYTHON=python)?$", "\n".join([script, *steps]), re.MULTILINE)
    assert {"test", "lint", "test-code", "test-notebooks"} <= set(called)
    for target in called:
        assert make("-n", target).returncode == 0, target
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


def test_the_targets_that_contributors_are_told_of_exist(make: Make) -> None:
    named = set(
        re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {"check", "test", "lock", "notebooks"} <= named
    for target in named:
        assert make("-n", target).returncode == 0, target


def test_the_workflow_runs_on_linux_with_every_python_and_on_macos_with_the_oldest_and_the_newest() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert (matrix["os"], tuple(matrix["python"])) == (["ubuntu-latest"], PYTHONS)
    more = [(job["os"], job["python"]) for job in matrix["include"]]
    assert more == [("macos-latest", PYTHONS[0]), ("macos-latest", PYTHONS[-1])]
    asked = {"lint": PYTHONS[0], "test": "${{ matrix.python }}"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60
        [python] = [step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
        assert python["python-version"] == asked[name]
        # The machines have other Pythons besides; once .venv is there, make asks for none.
        setting_up = next(step["run"] for step in job["steps"] if step.get("run", "").startswith("make"))
        assert setting_up.endswith(" PYTHON=python")


def test_the_repository_s_address_is_the_one_in_pyproject_wherever_it_is_named() -> None:
    address = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["repository"]
    slug = address.removeprefix("https://github.com/")
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", slug)
    written = [path for path in ROOT.iterdir() if path.suffix in {".md", ".yml"}]
    written += [
        path
        for folder in ("notebooks", "learn", "lessons", "binder", ".github")
        for path in (ROOT / folder).rglob("*.*")
    ]
    way_in = (
        r"(?:mybinder\.org/v2/gh/|colab\.research\.google\.com/github/|git clone https://github\.com/"
        r"|git\+https://github\.com/)([\w.-]+/[\w.-]+)"
    )
    named = {path.name: set(re.findall(way_in, path.read_text(encoding="utf-8"))) for path in written if path.is_file()}
    assert named["README.md"]
    assert {other for others in named.values() for other in others} == {slug}, named
