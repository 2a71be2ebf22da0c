"""The study of lesson 08 is what its command makes, and its parts do what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import skew as benchmark

from course_lib import learning

CELLS = [(skew, name) for skew in benchmark.SKEWS for name in benchmark.KNOBS]
EVERY_CELL = [*CELLS, (benchmark.ONE_MACHINE, benchmark.ONE_MACHINE)]


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def row(study: dict[str, Any], skew: str, name: str) -> dict[str, Any]:
    [found] = [row for row in study["rows"] if (row["skew"], row["strategy"]) == (skew, name)]
    return found


def test_the_stored_study_holds_every_row_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [(row["skew"], row["strategy"]) for row in study["rows"]] == EVERY_CELL
    for each in study["rows"]:
        assert each["seeds"] == list(benchmark.SEEDS)
        assert [len(run["accuracy"]) for run in each["runs"]] == [benchmark.ROUNDS] * len(benchmark.SEEDS)
    # json has no tuples
    assert study["published"] == json.loads(json.dumps(benchmark.PUBLISHED))


def test_the_settings_are_the_best_of_the_whole_grid_on_seeds_that_the_result_does_not_use(
    study: dict[str, Any],
) -> None:
    assert not set(study["tuning_seeds"]) & set(benchmark.SEEDS)
    for each in study["rows"]:
        knobs = benchmark.KNOBS.get(each["strategy"], (None,))
        grid = [(tried["learning_rate"], tried["knob"]) for tried in each["tried"]]
        assert grid == [(rate, knob) for rate in benchmark.RATES for knob in knobs]
        best = max(each["tried"], key=lambda tried: tried["accuracy"])
        assert (each["learning_rate"], each["knob"]) == (best["learning_rate"], best["knob"])


def test_every_strategy_has_the_same_budget_and_scaffold_sends_twice_the_bytes(study: dict[str, Any]) -> None:
    for skew, name in CELLS:
        plan = benchmark.Job(skew, name, 0.1, benchmark.KNOBS[name][0], seed=0).plan()
        assert (plan.rounds, plan.local_epochs, plan.batch_size, plan.participation) == (20, 2, 32, 1.0)
        once = 20 * 10 * 2 * 4 * 199_210 / 1e6
        for run in row(study, skew, name)["runs"]:
            sent = run["megabytes"]  # none was noted where a run diverged; FedNova's messages are a number longer
            assert sent is None or sent == pytest.approx((2 if name == "SCAFFOLD" else 1) * once, abs=0.02), name


def test_one_class_a_client_is_one_class_a_client() -> None:
    train, _ = benchmark.split(0)
    held = [set(train.y[indices].tolist()) for indices in benchmark.partition("one class", train.y, seed=0)]
    assert sorted(map(list, held)) == [[digit] for digit in range(10)]


def test_a_stored_run_comes_out_again(study: dict[str, Any]) -> None:
    """Within 3 points over the first rounds: on another processor rounding differs."""
    stored = row(study, "alpha = 1", "FedAvg")
    found = benchmark.measure(benchmark.Job("alpha = 1", "FedAvg", stored["learning_rate"], None, seed=1, length=3))
    assert found["accuracy"] == pytest.approx(stored["runs"][1]["accuracy"][:3], abs=0.03)


def test_a_run_that_diverges_has_no_accuracy() -> None:
    found = benchmark.measure(benchmark.Job("alpha = 1", "FedAvg", 1e6, None, seed=0, length=2))
    assert found == {"accuracy": [0.0, 0.0], "bias": None, "megabytes": None}


def test_orders_are_compared_where_both_sides_can_tell_them() -> None:
    published = {"a": (50.0, 1.0), "b": (60.0, 1.0), "c": (61.0, 5.0)}
    ours = {"a": [0.7, 0.71, 0.72], "b": [0.5, 0.51, 0.53], "c": [0.8, 0.81, 0.83]}
    said = {tuple(pair["pair"]): pair for pair in benchmark.ordering(ours, published)}
    assert (said["a", "b"]["published"], said["a", "b"]["here"], said["a", "b"]["order"]) == ("b", "a", "differs")
    assert said["a", "c"]["order"] == "same"
    assert (said["b", "c"]["published"], said["b", "c"]["order"]) == ("neither", "not told apart")
    noisy = benchmark.ordering({"a": [0.7, 0.4], "b": [0.5, 0.6]}, {name: published[name] for name in "ab"})
    assert (noisy[0]["here"], noisy[0]["order"]) == ("neither", "not told apart")


def test_the_last_line_gives_the_stored_table_with_intervals_and_every_order_that_differs(
    study: dict[str, Any],
) -> None:
    said = benchmark.line(study)
    accuracy = [100 * value for value in benchmark.final(row(study, "alpha = 0.1", "SCAFFOLD"))]
    mean, half = said["accuracy (%)"]["alpha = 0.1"]["SCAFFOLD"]
    assert mean == pytest.approx(np.mean(accuracy), abs=0.06)
    assert half == pytest.approx(learning.interval(accuracy).half_width, abs=0.06)
    pairs = [pair for order in study["ordering"] for pair in order["pairs"]]
    assert len(said["ordering differs"]) == sum(pair["order"] == "differs" for pair in pairs)
    assert len(pairs) == 6 * sum(map(len, benchmark.PUBLISHED.values()))


@pytest.mark.slow
def test_the_quick_run_ends_with_json_and_stores_nothing() -> None:
    before = benchmark.STORED.read_bytes()
    command = [sys.executable, str(BENCHMARKS / "skew.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    line = json.loads(done.stdout.splitlines()[-1])
    assert set(line) == {"FedAvg", "SCAFFOLD"}
    assert all(0 < value < 1 for value in line.values())
    assert benchmark.STORED.read_bytes() == before
