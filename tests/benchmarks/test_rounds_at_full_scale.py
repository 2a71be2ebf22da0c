"""The study at the paper's own scale: what it tunes, what it stores, and what it says of rows that were not run."""

from pathlib import Path
from typing import Any

import pytest
import rounds_at_full_scale as benchmark

from course_lib import data, study

Reached = dict[str, list[int | None]]


def test_a_rate_is_broken_off_when_it_can_win_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {0.05: (90, 90, 90), 0.1: (50, 60, 55), 0.2: (30, 40, 35), 0.4: (20, 70, 25)}
    limits = {}

    def reached(plans: dict[str, Any], deal: str, validating: bool, seeds: tuple[int, ...]) -> Reached:
        assert validating and seeds == benchmark.TUNING_SEEDS
        [(name, plan)] = plans.items()
        limits[plan.learning_rate] = plan.rounds
        return {name: [count if count <= plan.rounds else None for count in needed[plan.learning_rate]]}

    monkeypatch.setattr(benchmark, "reached", reached)
    found = benchmark.tuned(benchmark.ROWS[0])
    assert (found.best, found.at_edge) == (0.2, False)  # by its worst seed: 0.4 is faster on two of three
    assert limits == {0.1: 150, 0.2: 60, 0.4: 40}


@pytest.mark.slow
def test_runs_end_at_the_target_are_kept_and_one_that_does_not_arrive_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "RUNS", tmp_path)
    monkeypatch.setattr(benchmark, "TARGET", 0.5)
    monkeypatch.setattr(benchmark, "images", lambda validating: data.load("digits"))
    run = study.run
    monkeypatch.setattr(study, "run", lambda *given, **settings: run(*given, **settings, workers=1))
    plans = {"quick": benchmark.ROWS[0].plan(0.2, 20), "slow": benchmark.ROWS[0].plan(1e-4, 2)}
    found = benchmark.reached(plans, "iid", True, [5, 6])
    assert found["slow"] == [None, None]
    assert all(count is not None and count < 20 for count in found["quick"])
    monkeypatch.setattr(benchmark, "fit", lambda *_: pytest.fail("a finished run was run again"))
    assert benchmark.reached(plans, "iid", True, [5, 6]) == found


def test_a_row_that_was_not_run_says_so() -> None:
    tuning = study.Tuned(0.2, {0.1: (-60.0, -50.0, -55.0), 0.2: (-40.0, -41.0, float("nan"))}, True)
    found = benchmark.stored({"iid": tuning}, {benchmark.ROWS[0]: [40, None]})
    assert found["tuning"]["iid"]["tried"][1] == {"rate": 0.2, "rounds": [40, 41, None]}
    first, *others = found["rows"]
    assert (first["seeds"], first["rounds"]) == ([0, 1], [40, None])
    assert all((row["seeds"], row["rounds"]) == ([], []) for row in others)
    assert [(row["partition"], row["participation"], row["learning_rate"]) for row in (first, *others)] == [
        ("iid", 0.1, 0.2), ("shards", 0.1, None), ("iid", 0.2, 0.2), ("shards", 0.2, None),
    ]  # fmt: skip
    assert [row["published"] for row in (first, *others)] == [87, 664, 77, 619]
