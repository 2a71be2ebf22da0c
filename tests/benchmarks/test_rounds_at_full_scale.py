"""The study at the paper's own scale: what it tunes, what it stores, and what it says of rows that were not run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rounds_at_full_scale as benchmark

from course_lib import classroom, data, study
from tools import lessons

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
    assert (first["learning_rate"], first["seeds"], first["rounds"]) == (0.2, [0, 1], [40, None])
    assert [(row["partition"], row["participation"]) for row in (first, *others)] == [
        ("iid", 0.1), ("shards", 0.1), ("iid", 0.2), ("shards", 0.2),
    ]  # fmt: skip
    assert all((row["seeds"], row["rounds"]) == ([], []) for row in others)
    assert [row["learning_rate"] for row in (first, *others)] == [0.2, None, 0.2, None]
    assert [row["published"] for row in (first, *others)] == [87, 664, 77, 619]


def test_the_stored_study_is_one_that_the_command_makes() -> None:
    found = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    frame = benchmark.stored({}, {})
    assert {**found, "versions": 0, "tuning": 0, "rows": 0} == {**frame, "versions": 0, "tuning": 0, "rows": 0}
    settings = ("partition", "participation", "epochs", "limit", "published")
    assert [[row[key] for key in settings] for row in found["rows"]] == [
        [row[key] for key in settings] for row in frame["rows"]
    ]
    for row in found["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS[: len(row["rounds"])])
        assert all(count is None or 0 < count <= row["limit"] for count in row["rounds"])
        assert row["rounds"] == [] or row["learning_rate"] == found["tuning"][row["partition"]]["best"]


def test_the_stored_rates_are_the_best_for_the_worst_of_three_seeds_that_the_rows_do_not_use() -> None:
    found = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    assert len(found["tuning_seeds"]) >= 3
    assert not set(found["tuning_seeds"]) & {seed for row in found["rows"] for seed in row["seeds"]}
    for tuning in found["tuning"].values():
        arrived = {each["rate"]: each["rounds"] for each in tuning["tried"] if None not in each["rounds"]}
        assert tuning["best"] == min(arrived, key=lambda rate: max(arrived[rate])) and not tuning["at_edge"]


@pytest.mark.parametrize("runs", [{}, {0: [40, 44]}, {0: [40, 44, 39], 1: [300, None, 280]}])
def test_the_lesson_shows_rows_as_far_as_they_were_run(
    runs: dict[int, list[int | None]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tunings = {row.partition: study.Tuned(0.1, {}, False) for row in benchmark.ROWS[: len(runs)]}
    partial = benchmark.stored(tunings, {benchmark.ROWS[at]: counts for at, counts in runs.items()})
    monkeypatch.setattr(classroom, "stored", lambda name: {"rounds_to_target_full": partial}[name])
    (lesson,) = lessons.find(Path(__file__).parents[2], ["07"])
    (cell,) = [cell.source for cell in lessons.master(lesson).cells if '"rounds_to_target_full"' in cell.source]
    exec(cell, {"classroom": classroom, "np": np, "kinds": {"IID": "iid", "two shards": "shards"}})
    shown = capsys.readouterr().out
    assert shown.count("not run") == 4 - len(runs)
    for counts in runs.values():
        assert ", ".join(f"{count or 'more than 600'}" for count in counts) in shown
