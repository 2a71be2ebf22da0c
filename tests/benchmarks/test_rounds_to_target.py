"""The study of lesson 07 is what its command makes, and its parts do what they say."""

import json
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rounds_to_target as benchmark

from course_lib.study import Tuned


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_row_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    stored = [
        benchmark.Row(row["partition"], row["participation"], row["epochs"], row["limit"]) for row in study["rows"]
    ]
    assert stored == benchmark.ROWS
    for row in study["rows"]:
        assert list(row["rounds"]) == [f"{target:.2f}" for target in benchmark.TARGETS]
        assert row["seeds"] == list(benchmark.SEEDS)
        assert all(len(counts) == len(row["seeds"]) for counts in row["rounds"].values())


def test_the_stored_study_holds_every_way_with_as_many_seeds(study: dict[str, Any]) -> None:
    ways = [benchmark.Way(row["name"], row["partition"], row["passes"]) for row in study["passes"]]
    assert set(ways) == set(benchmark.WAYS)
    for row in study["passes"]:
        assert row["after"] == list(range(5, row["passes"] + 1, 5))
        assert row["seeds"] == list(benchmark.WAY_SEEDS)
        assert len(row["accuracy"]) == len(row["seeds"])
        assert all(len(values) == len(row["after"]) for values in row["accuracy"])


def test_the_seeds_of_the_result_are_not_those_that_chose_the_rates(study: dict[str, Any]) -> None:
    for row in study["rows"] + study["passes"]:
        assert not set(row["seeds"]) & set(study["tuning_seeds"])


def test_a_stored_row_comes_out_again(study: dict[str, Any]) -> None:
    """Within a quarter: on another processor rounding differs, and the test accuracy jumps about near the target."""
    row, stored = benchmark.ROWS[1], study["rows"][1]
    found = benchmark.reached(row, stored["learning_rate"], seed=1)
    assert found[-1] == pytest.approx(stored["rounds"]["0.88"][1], rel=0.25)
    assert found == sorted(count for count in found if count is not None)


def test_a_stored_way_comes_out_again(study: dict[str, Any]) -> None:
    """Within two points: on another processor rounding differs."""
    way = benchmark.Way("E = 5", "iid", 5)
    [stored] = [row for row in study["passes"] if (row["name"], row["partition"], row["passes"]) == ("E = 5", "iid", 5)]
    accuracy, bias = benchmark.followed(way, stored["learning_rate"], seed=1)
    assert accuracy == pytest.approx(stored["accuracy"][1], abs=0.02)
    assert bias == pytest.approx(stored["bias"][1], abs=0.02)


def test_a_target_that_the_limit_cuts_off_counts_as_not_reached() -> None:
    assert benchmark.reached(benchmark.ROWS[1], 0.4, seed=0, limit=2) == [None] * len(benchmark.TARGETS)


def test_a_rate_that_diverges_counts_as_not_reached_and_has_no_accuracy() -> None:
    assert benchmark.reached(benchmark.ROWS[1], 1e6, seed=0, limit=5) == [None] * len(benchmark.TARGETS)
    accuracy, bias = benchmark.followed(benchmark.Way("E = 5", "iid", 5), 1e6, seed=0)
    assert len(accuracy) == 1 and isnan(accuracy[0]) and isnan(bias)


def test_tuning_holds_out_images_of_the_training_split() -> None:
    (rest, validation), (train, _) = benchmark.images(validating=True), benchmark.images(validating=False)
    assert (len(rest), len(validation), len(train)) == (3200, 800, 4000)


def rounds_by_rate(counts: Callable[[float, int], int], asked: list[tuple[float, int]]) -> benchmark.Each:
    """Return what stands for the pool: rounds as a rule gives them, None beyond the limit."""

    def each(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        assert function is benchmark.reached
        found = []
        for _, rate, seed, limit, validating in jobs:
            assert validating
            asked.append((rate, limit))
            count = counts(rate, seed)
            found.append([count if count <= limit else None])
        return found

    return each


def test_the_rate_is_the_one_whose_slowest_seed_took_the_fewest_rounds() -> None:
    """At 0.4 two seeds are quick and one is slow, so 0.2 is chosen; a rate that cannot win is broken off."""
    asked: list[tuple[float, int]] = []

    def counts(rate: float, seed: int) -> int:
        return {0.4: 90 if seed == 101 else 10, 0.2: 40, 0.1: 70}[rate]

    tuned = benchmark.tuned_row(benchmark.ROWS[1], rounds_by_rate(counts, asked))
    assert (tuned.best, tuned.at_edge) == (0.2, False)
    assert tuned.tried[0.2] == (-40, -40, -40)
    assert all(isnan(score) for score in tuned.tried[0.1])
    assert dict(asked) == {0.4: 600, 0.2: 90, 0.1: 40}


def test_the_grid_grows_where_its_edge_is_best() -> None:
    tuned = benchmark.tuned_row(
        benchmark.ROWS[-1], rounds_by_rate(lambda rate, _: int(10 * max(rate / 0.8, 0.8 / rate)), [])
    )
    assert (tuned.best, tuned.at_edge) == (0.8, False)
    assert list(tuned.tried) == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_what_was_tried_is_stored_by_its_worst_seed() -> None:
    tuned = Tuned(0.2, {0.1: (float("nan"), -3.0, -4.0), 0.2: (-3.0, -5.0, -4.0)}, at_edge=True)
    assert benchmark.described(tuned, "g") == {
        "learning_rate": 0.2, "at_edge": True, "worst_of_three": {"0.1": "broken", "0.2": "-5"},
    }  # fmt: skip


@pytest.mark.parametrize("way", benchmark.WAYS)
def test_the_ways_of_a_budget_go_through_the_same_number_of_images(way: benchmark.Way) -> None:
    plan = way.plan(0.1)
    clients, held = (1, 4000) if plan.exchange == "none" else (10, 40)
    images = 10 * plan.local_steps if plan.local_steps else held * (plan.local_epochs or 0)
    assert plan.rounds * clients * images == 4000 * way.passes


@pytest.mark.slow
def test_the_quick_run_ends_with_json_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    line = quick_line(benchmark)
    assert line["iid C=0.1 E=1"] < line["iid C=0.1 FedSGD"]
