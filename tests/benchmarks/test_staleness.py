"""The study of lesson 03 is what its command makes."""

import json
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import staleness as benchmark
from bench import Job

from course_lib import rounds


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    return found


def test_the_stored_study_holds_every_contender_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    everyone = [(part, name) for part, contenders in benchmark.PARTS.items() for name in contenders]
    assert [(row["part"], row["name"]) for row in study["rows"]] == everyone
    for row in study["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS)
        assert len(row["runs"]) == len(row["seeds"]) >= 5


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & set(benchmark.SEEDS)
    for entry in study["tuning"]:
        assert entry["best"] == max(entry["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
        assert not entry["at_edge"]
    chosen = {(entry["part"], entry["name"]): entry["best"] for entry in study["tuning"]}
    own = {(row["part"], row["name"]): row["rate"] for row in study["rows"] if row["part"] not in benchmark.BORROWED}
    assert own == chosen
    assert {row["rate"] for row in study["rows"] if row["part"] == "one rate"} == {chosen["staleness", "1"]}
    assert {row["rate"] for row in study["rows"] if row["part"] == "low rate"} == {chosen["staleness", "16"]}


def test_the_terms_are_equal(study: dict[str, Any]) -> None:
    runs = {(row["part"], row["name"]): row["runs"] for row in study["rows"]}
    for name in benchmark.racers():
        assert all(run["curve"][-1][0] == benchmark.GRADIENTS for run in runs["updates", name])
        assert all(benchmark.SECONDS - 0.6 < run["curve"][-1][1] <= benchmark.SECONDS for run in runs["time", name])
    local = runs["updates", "local SGD"][0]["megabytes"]
    assert all(runs["bytes", name][0]["megabytes"] == pytest.approx(local, abs=0.11) for name in benchmark.FEW)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), [("staleness", "4"), ("time", "DiLoCo")])
def test_a_stored_run_is_what_the_command_measures(study: dict[str, Any], part: str, name: str) -> None:
    (row,) = [row for row in study["rows"] if (row["part"], row["name"]) == (part, name)]
    again = benchmark.measure(Job(part, name, row["rate"], seed=0))
    # the processor decides a few images of 360
    assert again["accuracy"] == pytest.approx(row["runs"][0]["accuracy"], abs=1)


def test_a_run_that_breaks_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: Any, **__: Any) -> Any:
        raise rounds.DivergedError

    monkeypatch.setattr(rounds, "fit", diverged)
    found = benchmark.measure(Job("staleness", "4", 0.1, seed=0))["accuracy"]
    assert isnan(found)
