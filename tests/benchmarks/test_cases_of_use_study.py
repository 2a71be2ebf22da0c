"""The studies of lesson 17 are what their commands make."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

import cases as benchmark
import edge
import pytest
from bench import Bench

from course_lib.study.cases import AS_FL, CASES


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    return found


def test_the_stored_study_holds_every_way_of_every_case(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [(row["case"], row["way"]) for row in study["rows"]] == [
        (c.name, way) for c in CASES.values() for way in c.ways
    ]
    for row in study["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS) and len(row["runs"]) == len(row["seeds"]) >= 10


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_no_result_uses(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & set(benchmark.SEEDS)
    rates = {(row["case"], row["way"]): row["rate"] for row in study["rows"]}
    for row in study["rows"]:
        whole = [tried for tried in row["tried"] if all(map(isfinite, tried["score"]))]
        assert row["rate"] == max(whole, key=lambda tried: min(tried["score"]))["rate"]
        if row["way"] in AS_FL:
            assert row["rate"] == rates[row["case"], "FL"]


def test_a_promise_is_kept_and_what_nobody_sends_costs_nothing(study: dict[str, Any]) -> None:
    for row in study["rows"]:
        for run in row["runs"]:
            if row["way"] == "FL, epsilon 3":
                assert run["epsilon"] == pytest.approx(3, abs=0.01)
            elif row["way"] == "alone":
                assert run["bytes_owner"] == run["bytes_inside"] == run["rounds"] == 0 and run["epsilon"] is None


def test_the_study_of_small_models_has_every_form_and_ten_seeds() -> None:
    stored = json.loads(edge.STORED.read_text(encoding="utf-8"))
    assert stored["command"] == f"python benchmarks/{Path(edge.__file__).name}"
    assert [(row["task"], row["form"]) for row in stored["rows"]] == [
        (task, form) for task in edge.TASKS for form in edge.FORMS
    ]
    for row in stored["rows"]:
        assert len(row["accuracy"]) == 10 and len(row["microseconds"]) == len(row["microseconds, 32"]) == edge.BLOCKS


@pytest.mark.slow
def test_a_short_run_measures_every_way_of_a_case() -> None:
    bench = Bench(benchmark.measure)
    rows = benchmark.quick(bench)
    bench.forget()
    assert [row["way"] for row in rows] == list(CASES["diagnosis"].ways)
    line = benchmark.line(rows)
    assert all(mean > 0 for ways in line["score (%)"].values() for mean, _ in ways.values())
