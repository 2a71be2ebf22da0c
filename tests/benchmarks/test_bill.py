"""The study of lesson 06's bill is what its command makes."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bill as benchmark
import pytest

from course_lib.distributed import cost


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_way_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [row["way"] for row in study["rows"]] == list(benchmark.WAYS)
    for row in study["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS) and len(row["runs"]) == len(row["seeds"]) >= 5
        assert all(run["reached"] for run in row["runs"])


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert not set(study["tuning_seeds"]) & set(benchmark.SEEDS) and len(study["tuning_seeds"]) >= 3
    best = {}
    for entry in study["tuning"]:
        best[entry["way"]] = max(entry["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
        assert entry["best"] == best[entry["way"]] and not entry["at_edge"]
    assert {row["way"]: row["rate"] for row in study["rows"]} == {way: best[by] for way, by in benchmark.TUNED.items()}


def test_workers_that_share_a_batch_take_the_same_images_a_step() -> None:
    sizes = {
        way: (plan.batch_size or 0) * workers
        for way, (plan, workers, _) in benchmark.WAYS.items()
        if "FedAvg" not in way
    }
    assert set(sizes.values()) == {32}


@pytest.mark.slow
def test_a_stored_run_uses_the_bytes_that_the_command_measures(study: dict[str, Any]) -> None:
    [row] = [row for row in study["rows"] if row["way"] == "one machine"]
    again = benchmark.measure("one machine", row["rate"], seed=0)
    stored = row["runs"][0]
    assert abs(again["rounds"] - stored["rounds"]) <= 1  # the processor decides an image or two
    used, before = cost.Usage(**again["usage"]), cost.Usage(**stored["usage"])
    assert (used.central, used.machines, used.inward) == (before.central, before.machines, before.inward)


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    assert set(quick_line(benchmark)) == set(benchmark.WAYS)
