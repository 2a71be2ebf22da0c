"""The study of lesson 09 is what its command makes."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import unreliable as benchmark
from bench import Job

from course_lib.federated.participation import Devices


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_contender_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    everyone = [(part, name) for part, contenders in benchmark.PARTS.items() for name in contenders]
    assert [(row["part"], row["name"]) for row in study["rows"]] == everyone
    for row in study["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS[row["part"]])
        assert len(row["runs"]) == len(row["seeds"]) >= 5


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & {seed for row in study["rows"] for seed in row["seeds"]}
    for entry in study["tuning"]:
        assert entry["best"] == max(entry["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
    chosen = {(entry["part"], entry["name"]): entry["best"] for entry in study["tuning"]}
    assert {(row["part"], row["name"]): row["rate"] for row in study["rows"]} == chosen


def test_answers_count_by_the_chance_to_be_asked_and_to_answer() -> None:
    fleet = benchmark.PARTS["lost"]["asked more often, weighted"].fleet
    assert fleet is not None
    drawn = fleet.attendance(0, 56, [4] * 100, 100, 100, seed=0)
    # Asked nine times as often, all fifty of one half are; six are left for the other.
    assert all(drawn.counts[k] == pytest.approx(1 / 0.1 if k >= 50 else 50 / 6 / 0.9) for k in drawn.asked)
    plain = benchmark.Weighted(Devices(dropout=benchmark.SAME_HALF), benchmark.ANSWERS)
    counts = plain.attendance(0, 20, [4] * 100, 100, 100, seed=0).counts
    assert all(count == pytest.approx(1 / 0.1 if k >= 50 else 1 / 0.9) for k, count in counts.items())


def test_answers_that_nobody_used_are_counted(study: dict[str, Any]) -> None:
    unused = {row["name"]: row["runs"][0]["megabytes_unused"] for row in study["rows"] if row["part"] == "late"}
    assert unused["wait for all"] == 0 == unused["deadline 2 s, 8 bits"]
    assert unused["deadline 2 s"] > 0 and unused["first 10 of 20"] > 0


@pytest.mark.slow
def test_a_stored_run_is_what_the_command_measures(study: dict[str, Any]) -> None:
    [row] = [row for row in study["rows"] if row["name"] == "half lost, same half"]
    again = benchmark.measure(Job("lost", row["name"], row["rate"], seed=0))
    # the processor decides a few images of a thousand
    assert again["accuracy"] == pytest.approx(row["runs"][0]["accuracy"], abs=1)
    assert again["heard"] == row["runs"][0]["heard"]


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    assert set(quick_line(benchmark)["accuracy (%)"]) == {"lost", "late", "sizes"}
