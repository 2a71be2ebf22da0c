"""The study of lesson 04 is what its command makes."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import packed_messages as benchmark
import pytest
from bench import Job


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_contender_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    everyone = [(part, name) for part, task in benchmark.PARTS.items() for name in task.ways]
    assert [(row["part"], row["name"]) for row in study["rows"]] == everyone
    assert study["seeds"] == list(benchmark.SEEDS) and len(benchmark.SEEDS) >= 5
    assert all(len(row["accuracy"]) == len(benchmark.SEEDS) for row in study["rows"])


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & set(benchmark.SEEDS)
    for row in study["rows"]:
        assert row["rate"] == max(row["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
        assert set(benchmark.GRID) <= {tried["rate"] for tried in row["tried"]}


def test_the_stored_bytes_are_those_of_the_messages(study: dict[str, Any]) -> None:
    weights = 784 * 32 + 32 + 32 * 10 + 10
    stored = {(row["part"], row["name"]): row["bytes"] for row in study["rows"]}
    assert stored["workers", "32 bits"] == 2 * 3 / 4 * 4 * weights  # an all-reduce
    assert stored["workers", "top 1%, feedback"] == 3 * 8 * round(weights / 100)  # one message to each of the others
    assert stored["workers", "rank 1"] == 2 * 3 / 4 * 4 * ((32 + 784) + (10 + 32) + 32 + 10)
    assert stored["clients", "32 bits"] == 4 * weights
    assert stored["clients", "1 bit, feedback"] == 8 + -(-weights // 8)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), [("workers", "top 1%, feedback"), ("digits", "rank 1")])
def test_a_stored_run_is_what_the_command_measures(study: dict[str, Any], part: str, name: str) -> None:
    [row] = [row for row in study["rows"] if (row["part"], row["name"]) == (part, name)]
    again = benchmark.measure(Job(part, name, row["rate"], seed=0))
    # the processor decides a few images of a thousand
    assert again["accuracy"] == pytest.approx(row["accuracy"][0], abs=1.5)
    assert again["bytes"] == row["bytes"]


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    (table,) = quick_line(benchmark).values()
    assert set(table) == set(benchmark.PARTS)
