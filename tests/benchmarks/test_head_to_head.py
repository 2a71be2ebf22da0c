"""The study of the dial is what its command makes; budgets stop a run where they should."""

import json
import random
from math import isnan
from typing import Any

import dial_rows
import head_to_head as benchmark
import pytest

from course_lib.study.dial import BUDGETS, STOPS, Job, measure, read
from course_lib.study.dial.runs import plan_of
from course_lib.study.dial.tasks import PARTICIPANTS

STUDY = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
MEASURED = list(dict.fromkeys(row["data"] for row in STUDY["rows"]))
# [round, score, bytes, seconds in three places] of a run that pays 100 bytes before its first round and 40 for each.
CURVE = [[at, 0.1 * at, 100 + 40 * at, 2.0 * at, 3.0 * at, 4.0 * at] for at in (5, 10, 15, 20)]


@pytest.mark.parametrize(
    ("limit", "rounds"), [(99, 0), (100, 0), (139.9, 0), (140, 1), (300, 5), (460, 9), (500, 10), (900, 20), (5000, 20)]
)
def test_a_budget_pays_for_whole_rounds_after_what_is_paid_once(limit: float, rounds: int) -> None:
    assert dial_rows.affordable(CURVE, 2, limit) == rounds


def test_a_run_with_a_single_look_is_taken_to_cost_the_same_in_every_round() -> None:
    assert dial_rows.affordable([[20, 0.5, 800, 1, 1, 1]], 2, 400) == 10


def test_the_budgets_are_the_least_of_those_who_talk() -> None:
    def row(stop: str, factor: float) -> dict[str, Any]:
        return {
            "stop": stop,
            "runs": [{"broken": False, "curve": [[1, 0.5, 100 * factor, factor, factor, factor]]}] * 2,
        }

    found = dial_rows.limits([row("one_machine", 1), row("ddp", 9), row("fedavg_1", 3)])
    assert found == {"bytes": 300, "datacentre": 3, "office": 3, "phones": 3}


def test_a_curve_is_read_at_the_last_look_within_the_budget() -> None:
    run = {"broken": False, "curve": CURVE}
    assert dial_rows._read(run, 2, 500) == pytest.approx(1.0) and dial_rows._read(run, 2, 499) == pytest.approx(0.5)
    assert isnan(dial_rows._read({"broken": True}, 2, 500))


def test_the_stored_study_holds_every_stop_with_five_seeds_or_more() -> None:
    assert STUDY["command"] == "python benchmarks/head_to_head.py"
    assert {"images", "tabular", "text"} <= set(MEASURED)
    for task in MEASURED:
        rows = [row for row in STUDY["rows"] if row["data"] == task]
        assert [row["stop"] for row in rows] == list(dial_rows.stops_of(task))
        for row in rows:
            assert row["seeds"] == list(dial_rows.SEEDS[task]) and len(row["runs"]) == len(row["seeds"]) >= 5
            assert all(set(run["at"]) == set(BUDGETS) for run in row["runs"])


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use() -> None:
    assert len(STUDY["tuning_seeds"]) >= 3
    assert not set(STUDY["tuning_seeds"]) & {seed for row in STUDY["rows"] for seed in row["seeds"]}
    chosen = {}
    for entry in STUDY["tuning"]:
        worst = {
            each["value"]: min(-1 if isnan(score) else score for score in each["score"]) for each in entry["tried"]
        }
        assert entry["best"] == max(worst, key=worst.__getitem__)
        if entry["budget"] == "gradients":
            chosen[entry["data"], entry["stop"]] = entry["best"]
    for row in STUDY["rows"]:
        stop = STOPS[row["stop"]]
        assert row["rate"] == chosen[row["data"], stop.rate_of or row["stop"]]
        assert row["knob"] == (chosen[row["data"], row["stop"]] if stop.knobs else None)


def test_every_stop_computes_as_many_gradients_and_sends_what_the_formula_says() -> None:
    for task in MEASURED:
        rows = {row["stop"]: row for row in STUDY["rows"] if row["data"] == task}
        want = rows["ddp"]["runs"][0]["examples"]
        for row in rows.values():
            for run in row["runs"]:
                assert run["broken"] or run["examples"] == pytest.approx(want, rel=0.08)
        if "one_machine" not in rows:
            continue
        for one, other in zip(rows["one_machine"]["runs"], rows["ddp"]["runs"], strict=True):
            assert one["bytes_per_participant"] < other["bytes_per_participant"]
    each = {row["stop"]: row for row in STUDY["rows"] if row["data"] == "images"}
    assert each["fedavg_1"]["runs"][0]["bytes_per_participant"] == each["fedavg_1"]["rounds"] * 2 * 4 * 50_890
    ring = 4 * (PARTICIPANTS - 1) / PARTICIPANTS * 4 * 50_890 * each["ddp"]["rounds"]
    assert each["ddp"]["runs"][0]["bytes_per_participant"] == pytest.approx(ring, rel=0.01)


def test_private_rows_keep_the_epsilon_of_their_name() -> None:
    for row in STUDY["rows"]:
        private = row["stop"].rpartition("_")[2] if row["stop"].startswith(("user_", "example_", "crowd_user_")) else ""
        private = "" if private == "off" else private
        for run in row["runs"]:
            if private and not run["broken"]:
                assert int(private) - 0.1 < run["epsilon"] <= int(private)
                assert run["unit"] == ("example" if row["stop"].startswith("example") else "user")
            elif not private:
                assert run.get("epsilon") is None


@pytest.mark.slow
def test_a_row_drawn_at_random_is_what_the_command_measures_again() -> None:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"random row and seed drawn with {drawn}")
    chance = random.Random(drawn)
    row = chance.choice([row for row in STUDY["rows"] if row["took"] < 4 and row["data"] != "mnist"])
    at = chance.randrange(len(row["seeds"]))
    again = measure(Job(row["data"], row["stop"], row["rate"], row["knob"], row["seeds"][at]))
    stored, kept = row["runs"][at], read(STUDY).row(row["data"], row["stop"])
    where = f"{row['data']}, {row['stop']}, seed {row['seeds'][at]}, drawn with {drawn}"
    if again["broken"] or stored["broken"]:
        assert kept.family == "attacked" or again["broken"] == stored["broken"], where
        return
    # Another processor decides some examples otherwise, and a long run grows apart: then it is one more of the stored ones.
    low, high = min(kept.scores().values()) - 0.02, max(kept.scores().values()) + 0.02
    assert again["score"] == pytest.approx(stored["score"], abs=0.01) or low <= again["score"] <= high, where
    assert again["bytes_per_participant"] == pytest.approx(stored["bytes_per_participant"], rel=0.02), where


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    whole, part = (measure(Job("images", "partial", 0.2, None, 0, most=most)) for most in (4, 2))
    assert whole["curve"][1][:2] == part["curve"][1][:2]
    assert plan_of(Job("images", "partial", 0.2, None, 0)).rounds == 50
