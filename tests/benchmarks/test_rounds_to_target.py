"""The study of lesson 07 is what its command makes, and its parts do what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import rounds_to_target as benchmark

from course_lib import data


@pytest.fixture(scope="module")
def split() -> benchmark.Split:
    return data.load("mnist5k")


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
        assert all(len(counts) == len(benchmark.SEEDS) for counts in row["rounds"].values())


def test_a_stored_row_comes_out_again(study: dict[str, Any], split: benchmark.Split) -> None:
    """Within a quarter: on another processor rounding differs, and the test accuracy jumps about near the target."""
    row, stored = benchmark.ROWS[1], study["rows"][1]
    found = benchmark.reached(row, row.plan(stored["learning_rate"]), split, seed=1)
    assert found[-1] == pytest.approx(stored["rounds"]["0.88"][1], rel=0.25)
    assert found == sorted(count for count in found if count is not None)


def test_a_target_that_the_limit_cuts_off_counts_as_not_reached(split: benchmark.Split) -> None:
    row = benchmark.ROWS[1]
    assert benchmark.reached(row, row.plan(0.4, limit=2), split, seed=0) == [None] * len(benchmark.TARGETS)


def test_a_learning_rate_that_diverges_counts_as_not_reached(split: benchmark.Split) -> None:
    row = benchmark.ROWS[1]
    assert benchmark.reached(row, row.plan(1e6, limit=5), split, seed=0) == [None] * len(benchmark.TARGETS)


@pytest.mark.parametrize(("best", "tried"), [(0.8, [0.2, 0.4, 0.8, 1.6]), (0.05, [0.2, 0.4, 0.1, 0.05, 0.025])])
def test_the_rate_is_doubled_or_halved_for_as_long_as_that_helps(
    best: float, tried: list[float], split: benchmark.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def reached(row: benchmark.Row, plan: Any, split: benchmark.Split, seed: int) -> list[int | None]:
        asked.append(plan.learning_rate)
        return [int(10 * max(plan.learning_rate / best, best / plan.learning_rate))]

    monkeypatch.setattr(benchmark, "reached", reached)
    assert benchmark.tuned(benchmark.ROWS[1], split, seeds=[0]) == pytest.approx(best)
    assert asked == pytest.approx(tried)


def test_the_ways_of_the_budget_go_through_the_same_number_of_images() -> None:
    for way in ("one machine", "every step", "E = 1", "E = 5"):
        plan = benchmark.budget_plan(way, 0.1)
        clients, held = (1, 4000) if plan.exchange == "none" else (10, 40)
        images = 10 * plan.local_steps if plan.local_steps else held * (plan.local_epochs or 0)
        assert plan.rounds * clients * images == 20_000, way


@pytest.mark.slow
def test_the_quick_run_ends_with_json_and_stores_nothing() -> None:
    before = benchmark.STORED.read_bytes()
    command = [sys.executable, str(BENCHMARKS / "rounds_to_target.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["iid C=0.1 E=1"] < line["iid C=0.1 FedSGD"]
    assert benchmark.STORED.read_bytes() == before
