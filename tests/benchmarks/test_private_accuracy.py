"""The studies of lesson 12 are what their commands make."""

import json
import sys
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import private_accuracy as benchmark
import private_audit

from course_lib.privacy.accounting import spent


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def audited() -> dict[str, Any]:
    return json.loads(private_audit.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_way_at_every_epsilon(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    cells = [(way, epsilon) for way in benchmark.WAYS for epsilon in (*benchmark.EPSILONS, None)]
    assert [(row["way"], row["epsilon"]) for row in study["rows"]] == cells
    assert all(len(row["accuracy"]) == len(study["seeds"]) == len(benchmark.SEEDS) for row in study["rows"])
    for name, way in benchmark.WAYS.items():
        assert study["ways"][name]["delta"] == way.delta < 1 / way.units
    assert len(benchmark.pools()[0]) == benchmark.WAYS["central"].units


@pytest.mark.slow
def test_no_setting_promises_more_than_its_noise_gives(study: dict[str, Any]) -> None:
    for row in study["rows"]:
        if row["epsilon"]:
            way = benchmark.WAYS[row["way"]]
            assert way.delta < 1 / way.units
            claimed = spent(row["noise_multiplier"], way.sample_rate, way.steps, way.delta).epsilon
            assert 0.98 * row["epsilon"] < claimed <= row["epsilon"]
            assert row["guarantee"].startswith(f"epsilon = {claimed:.2f} ")
            assert ("one user added" in row["guarantee"]) == (row["way"] == "users")
        else:
            assert (row["noise_multiplier"], row["clipping_norm"]) == (0, None)


def test_settings_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert len(study["tuning_seeds"]) >= 3 and not set(study["tuning_seeds"]) & set(study["seeds"])
    for row in study["rows"]:
        best = max((min(one["accuracy"]), one["chosen"]) for one in row["tried"])
        assert best[1], row["way"]


def test_the_ways_differ_in_who_is_hidden_and_in_nothing_without_privacy() -> None:
    private = [benchmark.Job(way, 3.0, 1.5, 0.5, 1.0, 0).plan() for way in benchmark.WAYS]
    assert [plan.privacy.clipping_norm for plan in private] == [0.5, 0.5, 1.0]  # type: ignore[union-attr]
    assert [plan.learning_rate for plan in private] == [2.0, 2.0, 0.5]
    for way in benchmark.WAYS:
        open_ = benchmark.Job(way, None, 0.0, 0.0, 0.2, 0).plan()
        assert open_.privacy is not None
        assert (open_.privacy.noise_multiplier, open_.privacy.clipping_norm, open_.learning_rate) == (0, inf, 0.2)


def test_no_audit_of_the_real_step_contradicts_its_claim_and_forgetting_is_caught(audited: dict[str, Any]) -> None:
    for one in audited["audits"]:
        for seen in ("every step", "final weights"):
            assert one[seen]["lower bound"] <= one["claimed"] <= one["epsilon"]
        assert one["null"] < 0.1


def test_who_is_in_scores_higher_with_both_auditors() -> None:
    inside, *scores = private_audit.scored(0.8, 1, 40)
    for seen in scores:
        assert float(seen[inside].mean()) > float(seen[~inside].mean()) + float(seen.std()) / 2
    # Without the canary, the likelihood ratio is 1 on average.
    ratios = [private_audit.scored(2.0, number, 3) for number in range(30)]
    out = torch.cat([ratio[~inside] for inside, ratio, _ in ratios]).exp()
    assert float(out.mean()) == pytest.approx(1, abs=4 * float(out.std()) / len(out) ** 0.5)


def test_a_canary_moves_its_own_direction_by_one_and_no_other() -> None:
    x, _ = private_audit.pictures()
    own = x[: private_audit.CANARIES].flatten(1)
    assert torch.equal(own @ own.T, 100.0**2 * torch.eye(len(own)))
    assert float((x[private_audit.CANARIES :].flatten(1) @ own.T).abs().max()) == 0
    inside, _, final = private_audit.scored(1e-3, 0, 30)  # next to no noise: the final weights count a canary's draws
    assert float((final - final.round()).abs().max()) < 0.1
    assert bool((final[~inside].round() == 0).all()) and float(final[inside].mean()) == pytest.approx(3, abs=1)
