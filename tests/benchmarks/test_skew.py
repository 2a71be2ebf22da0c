"""The study of lesson 08 is what its command makes, tuned by the ruler, and its parts do what they say."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skew as benchmark
import torch
from niid_bench import PUBLISHED
from skewed_clients import KINDS, SEEN, SKEWS, deal

from course_lib import learning

CELLS = [(skew, name) for skew in SKEWS for name in benchmark.STRATEGIES]


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def row(study: dict[str, Any], skew: str, name: str) -> dict[str, Any]:
    [found] = [row for row in study["rows"] if (row["skew"], row["strategy"]) == (skew, name)]
    return found


def test_the_stored_study_holds_every_row_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [(row["skew"], row["strategy"]) for row in study["rows"]] == list(benchmark.cells())
    assert study["seeds"] == list(benchmark.SEEDS)
    for each in study["rows"]:
        assert len(each["runs"]) == len(benchmark.SEEDS) >= 5
        assert all(run["broken"] or len(run["accuracy"]) == benchmark.ROUNDS for run in each["runs"])
    # json has no tuples
    assert study["published"] == json.loads(json.dumps(PUBLISHED))
    assert benchmark.text(study) == benchmark.STORED.read_text(encoding="utf-8")


def test_settings_are_the_best_by_their_worst_tuning_seed_and_no_result_uses_these_seeds(
    study: dict[str, Any],
) -> None:
    assert len(study["tuning_seeds"]) >= 3
    assert not set(study["tuning_seeds"]) & set(benchmark.SEEDS)
    for each in study["rows"]:
        tried = {(one["learning_rate"], one["knob"]): one["accuracy"] for one in each["tried"]}
        chosen = tried[each["learning_rate"], each["knob"]]
        assert len(chosen) == len(study["tuning_seeds"])
        assert all(min(values) <= min(chosen) for values in tried.values())


def test_the_neighbours_of_every_setting_that_was_chosen_were_tried(study: dict[str, Any]) -> None:
    for each in study["rows"]:
        search = benchmark.search(each["strategy"])
        tried = {(one["learning_rate"], one["knob"]) for one in each["tried"]}
        assert {*search.first, *search.neighbours((each["learning_rate"], each["knob"]))} <= tried


def test_settings_are_chosen_on_training_images_that_are_kept_out_and_the_test_images_play_no_part() -> None:
    rest, kept_out = benchmark.split(tuning=True)
    train, test = benchmark.split(tuning=False)
    pixels = [{image.numpy().tobytes() for image in part.x} for part in (rest, kept_out, train, test)]
    assert not pixels[0] & pixels[1] and pixels[0] | pixels[1] == pixels[2]
    assert not pixels[3] & (pixels[0] | pixels[1])
    assert (len(rest), len(kept_out), len(test)) == (1005, 252, 540)


def test_every_strategy_has_the_same_budget_and_scaffold_sends_twice_the_bytes_each_way(study: dict[str, Any]) -> None:
    for skew, name in CELLS:
        plan = benchmark.Job(skew, name, 0.1, benchmark.KNOBS.get(name, benchmark.NO_KNOB).ladder[0], seed=0).plan()
        assert (plan.rounds, plan.local_epochs, plan.batch_size, plan.participation) == (20, 2, 16, 1.0)
        once = 20 * 10 * 4 * 4_810 / 1e6
        for run in row(study, skew, name)["runs"]:
            if run["accuracy"]:
                expected = pytest.approx((2 if name == "SCAFFOLD" else 1) * once, abs=1e-4)
                assert (run["up"], run["down"]) == (expected, expected), name


@pytest.mark.parametrize("tuning", [False, True])
def test_one_digit_a_client_is_one_digit_a_client(tuning: bool) -> None:
    train, clients, _ = deal("one digit each", *benchmark.split(tuning), seed=0)
    held = [set(train.y[indices].tolist()) for indices in clients]
    assert sorted(map(list, held)) == [[digit] for digit in range(10)]


def test_each_other_kind_of_skew_changes_one_thing() -> None:
    train, judge = benchmark.split(tuning=False)
    for kind in KINDS:
        images, clients, tests = deal(kind, train, judge, seed=0)
        sizes = [len(part) for part in clients]
        assert (max(sizes) - min(sizes) > 1) == (kind == "quantity skew")
        assert torch.equal(images.x, train.x) == (kind != "feature skew")
        assert torch.equal(images.y, train.y) == torch.equal(tests.x, judge.x) == (kind != "concept shift")
        assert np.array_equal(np.sort(np.concatenate(clients)), np.arange(len(train)))


def test_under_concept_shift_half_of_the_clients_call_a_4_a_9_and_both_names_are_tested() -> None:
    train, judge = benchmark.split(tuning=False)
    images, clients, tests = deal("concept shift", train, judge, seed=0)
    for client, part in enumerate(clients):
        swapped = {(4, 9), (9, 4)} if client >= 5 else set()
        pairs = set(zip(train.y[part].tolist(), images.y[part].tolist(), strict=True))
        assert {pair for pair in pairs if len(set(pair)) == 2} == swapped
    assert torch.equal(tests.x, torch.cat([judge.x, judge.x]))
    first, second = tests.y.chunk(2)
    assert torch.equal(first, judge.y)
    assert torch.equal(first != second, (judge.y == 4) | (judge.y == 9))


def test_a_stored_run_comes_out_again(study: dict[str, Any]) -> None:
    """Within 3 points over the first rounds: on another processor rounding differs."""
    stored = row(study, "alpha = 0.1", "FedAvg")
    found = benchmark.measure(benchmark.Job("alpha = 0.1", "FedAvg", stored["learning_rate"], None, seed=1, length=3))
    assert found["accuracy"] == pytest.approx(stored["runs"][1]["accuracy"][:3], abs=0.03)


@pytest.mark.parametrize("rate", [1e6, 30.0])
def test_a_run_that_diverges_or_gives_one_answer_to_everything_is_broken_and_worth_nothing(rate: float) -> None:
    found = benchmark.measure(benchmark.Job("alpha = 100", "FedAvg", rate, None, seed=0, length=2))
    assert found["broken"] and benchmark.worth(found) == 0
    assert benchmark.worth({"accuracy": [0.3, 0.1], "broken": False}) == 0.1


def test_the_last_line_averages_sound_runs_and_counts_those_that_broke(study: dict[str, Any]) -> None:
    runs = [{"accuracy": [0.5 + 0.1 * seed], "broken": seed == 4} for seed in range(5)]
    [said] = benchmark.line({"rows": [{"skew": "a", "strategy": "b", "runs": runs}]})["a"].values()
    interval = learning.interval([50, 60, 70, 80])
    assert said == {"mean": 65.0, "half": round(interval.half_width, 2), "broken": 1}
    assert {skew: list(rows) for skew, rows in benchmark.line(study).items()} == {
        **{skew: list(benchmark.STRATEGIES) for skew in SKEWS},
        benchmark.ONE_MACHINE: [benchmark.ONE_MACHINE],
        **{kind: ["FedAvg", *[benchmark.ONE_MACHINE] * (kind in SEEN)] for kind in KINDS},
    }


@pytest.mark.slow
def test_the_quick_run_ends_with_json_and_stores_nothing(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    line = quick_line(benchmark)
    assert list(line) == [f"{name}, seed {seed}" for name in ("FedAvg", "SCAFFOLD") for seed in (0, 1)]
    assert all(0 < value < 1 for value in line.values())
    assert not benchmark.UNFINISHED.exists()
