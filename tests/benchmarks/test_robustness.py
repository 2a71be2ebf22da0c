"""The study of lesson 14 is what its command makes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import hostile_clients as cases
import robustness as benchmark

from course_lib.aggregation.robust import Krum, MultiKrum


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_case_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    held = [cases.Case(row["clients"], row["attack"], row["attackers"], row["rule"]) for row in study["rows"]]
    assert held == list(cases.cases())
    for case, row in zip(held, study["rows"], strict=True):
        assert row["seeds"] == list(benchmark.seeds(case)) and len(row["seeds"]) >= 5
        for name in ("accuracy", "worst", "success", "chance"):
            assert len(row[name]) == len(row["seeds"])
            assert all(0 <= value <= 100 for value in row[name])


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & {seed for row in study["rows"] for seed in row["seeds"]}
    for entry in study["tuning"]:
        assert entry["best"] == max(entry["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
        assert not entry["at_edge"]
    rates = {(entry["clients"], entry["rule"]): entry["best"] for entry in study["tuning"]}
    for row in study["rows"]:
        case = cases.Case(row["clients"], row["attack"], row["attackers"], row["rule"])
        assert row["rate"] == benchmark.rate_of(case, rates)


def test_whoever_attacks_among_few_attacks_among_many_too_and_seeds_draw_others() -> None:
    for seed in range(5):
        one, two, six = (set(cases.hostile(count, seed)) for count in (1, 2, 6))
        assert one < two < six and len(six) == 6
    assert len({cases.hostile(6, seed) for seed in range(5)}) == 5


def test_the_server_holds_a_hundred_images_that_no_client_has() -> None:
    train, test, root = cases.images(tuning=False)
    assert (len(train), len(test), len(root)) == (1157, 540, 100)
    own = {image.numpy().tobytes() for image in root.x}
    assert sum(image.numpy().tobytes() in own for image in train.x) == 0


@pytest.mark.parametrize("plain", [Krum(2), MultiKrum(2)], ids=["Krum", "multi-Krum"])
def test_watching_a_rule_changes_nothing_and_notes_the_rows_that_it_picks(plain: Any) -> None:
    kind = cases.WatchedKrum if isinstance(plain, Krum) else cases.WatchedMultiKrum
    watched, vectors = kind(2), torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(watched(vectors), plain(vectors))
    assert watched.picked == [plain.chosen(vectors)]
    assert kind(2).picked == []


def test_who_turns_its_update_round_and_makes_it_longer_is_not_picked(study: dict[str, Any]) -> None:
    """So the columns of `picked` are the clients, in order."""
    [row] = [
        row
        for row in study["rows"]
        if (row["clients"], row["attack"], row["attackers"], row["rule"]) == ("IID", "sign flip", 6, "multi-Krum")
    ]
    for seed, picked in zip(row["seeds"], row["picked"], strict=True):
        attackers = cases.hostile(6, seed)
        assert sum(picked) == 12 * cases.PLAN.rounds
        assert sum(picked[client] for client in attackers) <= 5  # of 60; honest ones are picked in 36 on average


@pytest.mark.slow
def test_a_stored_run_is_what_the_command_measures(study: dict[str, Any]) -> None:
    [row] = [
        row
        for row in study["rows"]
        if (row["clients"], row["attack"], row["attackers"], row["rule"]) == ("skewed", "back door", 6, "multi-Krum")
    ]
    again = benchmark.measure(benchmark.Job(cases.Case("skewed", "back door", 6, "multi-Krum"), row["rate"], seed=0))
    # the processor decides a few images of a hundred
    assert again["accuracy"] == pytest.approx(row["accuracy"][0], abs=3)
    assert again["success"] == pytest.approx(row["success"][0], abs=10)


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing() -> None:
    before = benchmark.STORED.read_bytes()
    done = subprocess.run(
        [sys.executable, benchmark.__file__, "--quick"], check=True, capture_output=True, text=True, timeout=560
    )
    assert set(json.loads(done.stdout.splitlines()[-1])["accuracy and success (%)"]) == {
        "IID, no attacker",
        "skewed, IPM",
        "IID, back door",
    }
    assert benchmark.STORED.read_bytes() == before
