"""The study of how often to save is what its command makes."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import when_to_save as benchmark


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_interval_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert (study["rounds"], study["between_failures"]) == (benchmark.ROUNDS, benchmark.BETWEEN_FAILURES)
    assert [row["every"] for row in study["rows"]] == list(benchmark.INTERVALS)
    assert all(len(row["runs"]) == len(study["seeds"]) >= 5 for row in study["rows"])


def test_every_round_was_trained_and_those_lost_again(study: dict[str, Any]) -> None:
    for row in study["rows"]:
        for run in row["runs"]:
            lost = run["trained"] - study["rounds"]
            assert run["failures"] <= lost <= run["failures"] * row["every"]


@pytest.mark.slow
def test_a_stored_run_is_what_the_command_measures_and_ends_as_the_undisturbed_one(study: dict[str, Any]) -> None:
    [row] = [row for row in study["rows"] if row["every"] == 20]
    again = benchmark.measure(20, seed=1)
    assert {name: again[name] for name in ("trained", "failures")} == row["runs"][1]
    assert torch.equal(again["weights"], benchmark.weights(benchmark.fit()))


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    assert set(quick_line(benchmark)) == {"a save in rounds", "best measured", "young", "daly"}
