"""The dial's study read as a table."""

import json
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from course_lib import learning
from course_lib.study.dial import BUDGETS, STOPS, read
from course_lib.study.dial.table import Table

STORED = Path(learning.__file__).parents[1] / "classroom/studies/dial.json"


def stored(stop: str, scores: list[float], data: str = "images", **other: Any) -> dict[str, Any]:
    own = STOPS[stop]
    runs = [
        {"score": score, "broken": isnan(score), "bytes_per_participant": 1000 + seed, "epsilon": None,
         "seconds": {"phones": 2.0}, "at": {budget: score - 0.1 for budget in BUDGETS}, **other}
        for seed, score in enumerate(scores)
    ]  # fmt: skip
    named = {
        name: getattr(own, name) for name in ("title", "family", "versus", "turned", "saw", "skew", "participants")
    }
    return {
        "data": data,
        "stop": stop,
        **named,
        "rounds": 20,
        "rate": 0.2,
        "knob": None,
        "seeds": list(range(len(scores))),
        "runs": runs,
    }


def table(*rows: dict[str, Any]) -> Table:
    return read({"rows": list(rows), "budgets": {}})


DDP = [0.90, 0.91, 0.92, 0.90, 0.91]
BETTER = [value + 0.02 + 0.0005 * seed for seed, value in enumerate(DDP)]
SAME = [value + 0.0005 * seed for seed, value in enumerate(DDP)]


def test_differences_from_ddp_are_paired_by_seed_and_corrected_for_all_stops_of_a_data_set() -> None:
    found = table(stored("ddp", DDP), stored("fedavg_1", BETTER), stored("secure", SAME)).differences("images")
    assert set(found) == {"fedavg_1", "secure"} and all(each.among == 2 for each in found.values())
    assert (found["fedavg_1"].outcome, found["secure"].outcome) == ("does not hold here", "holds")
    by_hand = learning.compare(BETTER, DDP, "equal")
    assert found["fedavg_1"].interval is not None and by_hand.interval is not None
    assert found["fedavg_1"].interval.mean == pytest.approx(by_hand.interval.mean)


def test_a_budget_has_scores_of_its_own() -> None:
    own = table(stored("ddp", DDP)).row("images", "ddp")
    assert own.scores() == dict(enumerate(DDP))
    assert own.scores("bytes")[1] == pytest.approx(0.81)
    assert own.interval("bytes").mean == pytest.approx(own.interval().mean - 0.1)
    assert own.mean("bytes_per_participant") == 1002 and own.mean("seconds", "phones") == 2.0 and own.epsilon is None


def test_runs_that_broke_are_counted_and_never_averaged_in() -> None:
    both = table(stored("ddp", DDP), stored("gossip", [0.8, nan, 0.8, 0.82, 0.8]))
    row = both.row("images", "gossip")
    assert row.broke == 1 and row.interval().n == 4
    assert both.compare("images", "gossip").broke == 1


def test_a_run_that_an_attacker_broke_answers_by_chance() -> None:
    row = table(stored("attacked", [0.3, nan, 0.3, 0.3, 0.3])).row("images", "attacked")
    assert row.broke == 1 and row.scores()[1] == 0.1 and row.interval().n == 5


def test_a_promise_is_quoted_with_its_unit_and_its_delta() -> None:
    row = table(stored("user_8", SAME, epsilon=7.99, delta=0.005, unit="user")).row("images", "user_8")
    assert row.promise == "epsilon 7.99 for one user, delta 0.005"


def test_what_is_not_in_the_study_is_named_with_what_is() -> None:
    small = table(stored("ddp", DDP))
    with pytest.raises(ValueError, match="no data 'sounds' in the study; there are: images"):
        small.of("sounds")
    with pytest.raises(ValueError, match="no stop 'magic' for 'images'; there are: ddp"):
        small.row("images", "magic")


def test_the_stored_study_can_be_read_and_no_row_has_fewer_than_five_seeds() -> None:
    found = read(json.loads(STORED.read_text(encoding="utf-8")))
    assert {row.data for row in found.rows} >= {"images", "tabular", "text"}
    assert all(len(row.seeds) == len(set(row.seeds)) == len(row.runs) >= 5 for row in found.rows)
