"""A study notices that what it runs was edited."""

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from course_lib import cluster, study
from course_lib.study import identity
from tests.study.runs import PLANS, quiet

FEDSGD = {"FedSGD": PLANS["FedSGD"]}
HELPER = """
from tests.study import runs

RATE = {rate}

class Settings:
    _rate = [{rate}]

def doubled(function):
    return lambda *parts: {rate} * function(*parts)

@doubled
def wrapped(x):
    return x

def unused():
    return 0

def fit(plan, seed):
    return runs.fit(plan.but(learning_rate=RATE), seed)
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A learner's own module, imported here."""
    (file := tmp_path / "own_fit.py").write_text(HELPER.format(rate=0.1))
    # Python takes a file of the same size that was written in the same second for the one that it has compiled.
    os.utime(file, (time.time() - 60,) * 2)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_fit")
    del sys.modules["own_fit"]
    cluster.shutdown()


def edit(module: ModuleType, rate: float, more: str = "", reload: bool = True) -> None:
    Path(str(module.__file__)).write_text(HELPER.format(rate=rate) + more)
    if reload:
        importlib.reload(module)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_edited_and_reloaded_module_is_run_anew_by_workers_that_have_it(helper, tmp_path, workers) -> None:
    def accuracies() -> list[float]:
        found = study.run(tmp_path / "study", FEDSGD, range(2), helper.fit, workers=workers, progress=quiet)
        return list(found.values("FedSGD").values())

    first = accuracies()
    edit(helper, 0.00001)
    second = accuracies()
    assert second == [helper.fit(FEDSGD["FedSGD"], seed).accuracy for seed in range(2)] != first
    edit(helper, 0.1)
    assert accuracies() == first


@pytest.mark.slow
def test_a_module_that_was_edited_and_not_reloaded_is_named_rather_than_stored_under_the_old_code(
    helper, tmp_path
) -> None:
    edit(helper, 0.00001, reload=False)
    with pytest.raises(cluster.WorkerError, match=r"importlib.reload\(module\)"):
        study.run(tmp_path / "study", FEDSGD, range(2), helper.fit, workers=2, progress=quiet)
    assert not study.load(tmp_path / "study").records


@pytest.mark.parametrize("used", ["fit", "RATE", "Settings", "wrapped"])
def test_what_a_function_uses_of_a_module_is_part_of_it_and_nothing_else_is(helper, used) -> None:
    space = {"__name__": "__main__", "own_fit": helper}
    exec(f"def through_the_module(): return own_fit.{used}", space)
    read = [str(identity.as_data(space["through_the_module"]))]
    edit(helper, 0.2)
    read.append(str(identity.as_data(space["through_the_module"])))
    edit(helper, 0.2, more="\ndef other(): return 1\n")
    read.append(str(identity.as_data(space["through_the_module"])))
    assert read[0] != read[1] == read[2]


def test_an_attribute_of_a_class_is_part_of_it_whatever_its_name_and_kind() -> None:
    class Own:
        _hidden = 1
        table = None

    read = [str(identity.as_data(Own))]
    for name, value in [("_hidden", 2), ("table", (1, 2)), ("table", {"a": {1, 2}}), ("table", PLANS["FedSGD"])]:
        setattr(Own, name, value)
        read.append(str(identity.as_data(Own)))
    assert len(set(read)) == len(read)
