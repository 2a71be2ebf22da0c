"""The private study at full scale: its noise keeps to the epsilon that it names, and what is stored is what the command makes."""

import json

import private_at_full_scale as benchmark
import pytest

from course_lib.privacy.accounting import spent
from course_lib.privacy.example_level import ExampleLevel


@pytest.mark.parametrize("epsilon", [1.16, 6.86])
def test_the_noise_is_enough_for_all_passes_and_hardly_more(epsilon: float) -> None:
    plan = benchmark.plan(epsilon, rate=1.0, examples=60_000)
    assert isinstance(plan.privacy, ExampleLevel)
    steps = benchmark.PASSES * plan.privacy.steps_an_epoch
    assert steps == 3750
    found = spent(plan.privacy.noise_multiplier, benchmark.BATCH / 60_000, steps, benchmark.DELTA).epsilon
    assert 0.99 * epsilon < found <= epsilon


def test_the_stored_study_is_one_that_the_command_makes() -> None:
    found = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    assert [row["epsilon"] for row in found["rows"]] == list(benchmark.EPSILONS)
    for row in found["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS) and len(row["runs"]) == len(row["seeds"])
        tuning = found["tuning"]["plain" if row["epsilon"] is None else "private"]
        assert row["learning_rate"] == tuning["best"] and not tuning["at_edge"]
        assert all(80 < run["accuracy"] < 99.9 for run in row["runs"])
        assert all(run["epsilon"] <= row["epsilon"] for run in row["runs"] if row["epsilon"])
