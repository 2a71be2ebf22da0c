"""The study of lesson 13 is what its command makes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import masked_rounds as benchmark


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    return found


def test_the_stored_study_holds_every_contender_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [row["name"] for row in study["rows"]] == list(benchmark.CONTENDERS)
    assert study["seeds"] == list(benchmark.SEEDS) and len(study["seeds"]) >= 5
    assert all(len(row["runs"]) == len(study["seeds"]) for row in study["rows"])


def test_the_rate_is_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert len(study["tuning_seeds"]) >= 3 and not set(study["tuning_seeds"]) & set(study["seeds"])
    assert study["rate"] == max(study["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
    assert not study["at_edge"]


def test_a_masked_contender_differs_from_its_rival_by_masks_alone() -> None:
    for name, plan in benchmark.CONTENDERS.items():
        if name in ("masked", "masked, 10% lost", "masked, 30% lost"):
            rival = benchmark.CONTENDERS[name.replace("masked", "plain")]
            assert plan.but(secure_aggregation=None) == rival


@pytest.mark.slow
def test_stored_runs_are_what_the_command_measures(study: dict[str, Any]) -> None:
    rows = {row["name"]: row["runs"][0] for row in study["rows"]}
    for name in ("plain", "masked, 30% lost"):
        again = benchmark.measure(benchmark.Job(name, study["rate"], seed=0))
        # the processor decides a few images of a thousand
        assert again["accuracy"] == pytest.approx(rows[name]["accuracy"], abs=1)
        assert again["skipped"] == rows[name]["skipped"]
        assert again["megabytes_up"] == rows[name]["megabytes_up"]


@pytest.mark.slow
def test_the_quick_check_runs_and_stores_nothing() -> None:
    before = benchmark.STORED.read_bytes()
    done = subprocess.run(
        [sys.executable, benchmark.__file__, "--quick"], check=True, capture_output=True, text=True, timeout=560
    )
    assert set(json.loads(done.stdout.splitlines()[-1])["accuracy (%)"]) == {"plain", "masked", "masked, 30% lost"}
    assert benchmark.STORED.read_bytes() == before
