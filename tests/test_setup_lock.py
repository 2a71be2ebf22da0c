"""One list of dependencies, one lock; everything else that installs the course derives from the two."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_lib import doctor
from tools import environments
from tools.environments import Pin

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = environments.pins(LOCK)


def here(line: Pin | Requirement) -> bool:
    """Whether a line applies on this system and Python."""
    marker = Requirement(str(line)).marker
    return marker is None or marker.evaluate()


VERSIONS = {pin.name: pin.version for pin in PINS if here(pin)}
BINDER = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8")
# What opening the course needs, as Binder installs it.
LEARNERS = [pin for pin in PINS if pin.name in re.findall(r"^([a-z0-9-]+)==", BINDER, flags=re.MULTILINE)]


def needs(asked: set[tuple[str, str]]) -> set[str]:
    """Return the names of the packages `asked` for, each with an extra or "", and of all that they ask for, in turn."""
    found: set[tuple[str, str]] = set()
    while asked:
        found |= asked
        lines = [(line, extra) for name, extra in asked for line in importlib.metadata.requires(name) or ()]
        wanted = [
            needed
            for needed, extra in ((Requirement(line), extra) for line, extra in lines)
            if needed.marker is None or needed.marker.evaluate({"extra": extra})
        ]
        asked = {(str(canonicalize_name(one.name)), extra) for one in wanted for extra in ("", *one.extras)} - found
    return {name for name, _ in found}


def test_the_lock_answers_every_dependency_of_the_project() -> None:
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    asked = [needed for dependencies in lists for needed in map(Requirement, dependencies) if here(needed)]
    assert len(asked) > 30
    for needed in asked:
        assert needed.specifier.contains(VERSIONS[canonicalize_name(needed.name)]), needed


def test_torch_is_the_tested_one_and_nothing_for_gpus_is_locked() -> None:
    assert VERSIONS["torch"] == doctor.TESTED_TORCH == "2.13.0"
    assert [name for name in VERSIONS if re.search("nvidia|cuda|triton", name)] == []


def test_what_is_installed_here_is_what_the_lock_says() -> None:
    found = importlib.metadata.distributions()
    installed: dict[str, str] = {canonicalize_name(package.name): package.version for package in found}
    assert installed.pop("dml-vs-fl") == PROJECT["version"]
    installed.pop("pip", None)  # the one that came with Python
    installed["torch"] = installed["torch"].partition("+")[0]
    differing = {
        name: (version, VERSIONS.get(name)) for name, version in installed.items() if version != VERSIONS.get(name)
    }
    assert differing == {}, "run `make setup-tests`"


def test_every_derived_file_is_in_step() -> None:
    for name, text in environments.files(PROJECT["name"], LEARNERS).items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is out of step: run `make lock`"
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)


def test_learners_get_all_that_the_course_needs_and_nothing_that_only_authors_need() -> None:
    direct = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lab"]]
    asked = [Requirement(line) for line in direct]
    needed = needs({(str(canonicalize_name(one.name)), extra) for one in asked for extra in ("", *one.extras)})
    assert {pin.name for pin in LEARNERS if here(pin)} == needed
    assert len(needed) > 50


def test_conda_installs_the_same_pins_and_then_the_course() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"][:2] == ["python>=3.11,<3.15", "pip"]
    index, *requirements, course = environment["dependencies"][2]["pip"]
    assert index == f"--extra-index-url {environments.CPU_TORCH}"
    assert course == "-e ."
    asked = [needed for needed in map(Requirement, requirements) if needed.marker is None or needed.marker.evaluate()]
    assert len(asked) > 50
    for needed in asked:
        [pinned] = needed.specifier
        assert pinned.operator == "=="
        assert pinned.version.partition("+")[0] == VERSIONS[needed.name]


def test_on_linux_conda_and_binder_get_the_build_without_gpu_libraries() -> None:
    torch = Pin("torch", "2.13.0", "")
    on_linux, elsewhere = map(Requirement, environments.requirements([torch])[1:])
    assert on_linux.marker is not None
    assert elsewhere.marker is not None
    assert str(on_linux.specifier) == "==2.13.0+cpu"
    assert str(elsewhere.specifier) == "==2.13.0"
    for system, chosen in (("linux", on_linux), ("darwin", elsewhere), ("win32", elsewhere)):
        applying = [
            line for line in (on_linux, elsewhere) if line.marker and line.marker.evaluate({"sys_platform": system})
        ]
        assert applying == [chosen]


def test_conditions_that_hold_wherever_the_course_runs_are_dropped_from_the_lock() -> None:
    everywhere = "python_full_version < '3.15' and (sys_platform == 'linux' or sys_platform != 'linux')"
    on_macos = "python_full_version < '3.15' and sys_platform == 'darwin'"
    some = "python_full_version < '3.12'"
    lock = (
        f"# made by hand\nfirst==1.0 ; {everywhere}\n    # via second\nsecond==2.0 ; {on_macos}\nthird==3.0 ; {some}\n"
    )
    assert (
        environments.tidy(lock)
        == f"# made by hand\nfirst==1.0\n    # via second\nsecond==2.0 ; {on_macos}\nthird==3.0 ; {some}\n"
    )


@pytest.mark.parametrize("line", ["torch>=2.13", "torch", "-e .", "torch==2.13.0 --hash=sha256:0"])
def test_a_lock_that_lets_something_float_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line) + ".*make lock"):
        environments.pins(f"numpy==2.4.6\n{line}\n")
