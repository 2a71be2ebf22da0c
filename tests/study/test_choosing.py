"""The chooser: what it strikes out, what it prefers, and that its own table never contradicts it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from course_lib.study import choosing, turning
from course_lib.study.choosing import GRID, Row, Situation, recommend

NOISE = (-0.4, -0.2, 0.0, 0.2, 0.4)


def row(way: str, mean: float, upload: float = 1e6, noise: tuple[float, ...] = NOISE, **more: Any) -> Row:
    family: Any = {"DML": "DML", "hybrid": "hybrid", "gossip": "leaderless", "alone": "alone"}.get(way, "FL")
    settings: dict[str, Any] = {
        "sees": {"DML": "all", "hybrid": "group"}.get(way, "none"), "receives": "nothing" if way == "alone" else "models",
        "raw": way in ("DML", "hybrid"),
    } | more  # fmt: skip
    scores = tuple(mean + one for one in noise)
    return Row(
        "one", way, family, scores, 20, 400, 0.2, 10_000, upload, upload, 0 if way == "alone" else 10, **settings
    )


TABLE = [
    row("DML", 90, 5e6), row("FL", 88, 1e6), row("hybrid", 89.5, 4e6), row("gossip", 87.5, 2e6), row("alone", 80, 0.0),
    row("FL, epsilon 3", 84, 1e6, epsilon=3.0), row("FL, secure sum", 88, 3e6, receives="sums"),
    row("FL, attacked", 40, 1e6, attacked=True), row("FL, median, attacked", 85, 1e6, attacked=True),
]  # fmt: skip


def chosen(situation: Situation, table: Sequence[Row]) -> str:
    found = recommend(situation, table)
    return found.row.way if found.row else "nothing measured"


@pytest.mark.parametrize(
    ("answers", "way"),
    [
        # A hybrid is half a point behind, which is no worse by the ruler, and sends less: the price decides.
        ({"records": "may move"}, "hybrid"),
        ({"records": "stay in the group"}, "hybrid"),
        ({"records": "stay"}, "FL"),  # gossip is no worse but sends twice as much
        ({"threat": "curious receivers"}, "FL, secure sum"),
        (
            {"records": "may move", "threat": "curious receivers"},
            "FL, secure sum",
        ),  # who holds records can look into them
        ({"threat": "published model"}, "FL, epsilon 3"),
        ({"threat": "hostile owners"}, "FL, median, attacked"),
        ({"records": "may move", "hardware": "sensor", "weights": 1_000_000}, "hybrid"),  # trains in a centre
        ({"hardware": "sensor", "weights": 1_000_000}, None),
        ({"network": "phones", "hours": 0.0001}, "alone"),  # what needs no link at all
    ],
)
def test_the_situation_strikes_rows_out_and_the_ruler_decides_among_the_rest(answers: dict, way: str | None) -> None:
    found = recommend(Situation(**answers), TABLE)
    assert (found.row and found.row.way) == way
    assert found.family == (found.row.family if found.row else "nothing measured")
    assert choosing.contradicted(found, TABLE) == []
    assert found.reasons()


def test_a_cheaper_row_that_is_worse_by_more_than_a_point_or_cannot_be_told_is_not_taken() -> None:
    wide = tuple(10 * one for one in NOISE)
    dear, poor, unsure = row("FL", 88, 9e6), row("gossip", 86, 1e3), row("FL, fine-tuned", 87.9, 1e3, noise=wide)
    assert recommend(Situation(), [dear, poor, unsure]).row == dear
    assert chosen(Situation(), [dear, replace(poor, scores=dear.scores)]) == "gossip"


def test_it_says_what_is_out_and_why() -> None:
    found = recommend(Situation(records="stay", threat="curious receivers"), TABLE)
    out = {one.row.way: one.out for one in found.considered}
    assert "hold everybody's records" in out["DML"] and "its group's records" in out["hybrid"]
    assert "single models" in out["FL"] and "single models" in out["gossip"]
    assert not out["FL, secure sum"] and not out["alone"] and not out["FL, epsilon 3"]
    assert any("FL, secure sum has the highest score, 88.0" in said for said in found.reasons())


def test_a_run_that_broke_takes_its_row_out_and_an_empty_table_is_refused() -> None:
    broke = replace(TABLE[1], scores=(99.0, 99.0, 99.0, 99.0, float("nan")))
    assert chosen(Situation(), [broke, *TABLE[3:5]]) == "gossip"
    with pytest.raises(ValueError, match="no rows"):
        recommend(Situation(), [])


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"records": "move"}, "records='move' is no answer: choose one of 'stay'"),
        ({"threat": "everybody"}, "threat='everybody'"), ({"network": "wifi"}, "network='wifi'"),
        ({"hardware": "toaster"}, "hardware='toaster'"), ({"owners": 1}, "owners=1 must be at least 2"),
        ({"held": 0}, "held=0"), ({"weights": float("nan")}, "weights=nan"), ({"skew": 1.5}, "skew=1.5"), ({"hours": 0}, "hours=0"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_exist_is_refused_with_what_there_is(answers: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Situation(**answers)


def test_the_form_asks_for_each_answer_of_a_situation_and_knows_what_each_is_about() -> None:
    assert list(GRID) == [field.name for field in fields(Situation)]
    assert sorted(name for names in turning.DECIDES.values() for name in names) == sorted(GRID)


def test_the_nearest_task_is_the_one_of_like_size_and_skew() -> None:
    small = [replace(one, task="small", owners=4, records=30) for one in TABLE]
    skewed = [replace(one, task="skewed", skew=0.6) for one in TABLE]
    everything = [*TABLE, *small, *skewed]
    assert recommend(Situation(owners=5, held=25), everything).task == "small"
    assert recommend(Situation(skew=0.5), everything).task == "skewed"
    assert recommend(Situation(), everything).task == "one"


def test_what_would_change_its_mind_is_so_and_the_smallest_step_comes_first() -> None:
    here = Situation()
    found = turning.changes(here, TABLE)
    assert found and [one.steps for one in found] == sorted(one.steps for one in found)
    for one in found:
        assert chosen(replace(here, **{one.question: one.answer}), TABLE) == one.to != "FL"
    told = {(one.question, one.answer) for one in found}
    assert ("records", "stay in the group") in told and ("threat", "hostile owners") in told
    # Whatever is not named leaves it as it is.
    for name, answers in GRID.items():
        for answer in answers:
            if (name, answer) not in told and answer != getattr(here, name):
                assert chosen(replace(here, **{name: answer}), TABLE) == "FL"


def test_what_decides_is_counted_by_family_and_with_the_measured_task_kept() -> None:
    here = [Situation(records="may move"), Situation()]
    # Records may not move: hybrid, FL. A sensor with little memory trains nothing, but still sends its records. Skew forbids nothing.
    nothing = dict.fromkeys(turning.DECIDES, 0.0)
    assert turning.decided_by(TABLE, here) == nothing | {"privacy": 1.0}
    slow = [Situation(network="phones", weights=20_000)]  # in four seconds only those alone are done
    assert turning.decided_by(TABLE, slow)["network"] == 1.0
    sensor = [replace(one, hardware="sensor") for one in here]
    assert turning.decided_by(TABLE, sensor)["scale"] == 0.5  # a million weights: nothing is left where records stay
    # Another way of the same family is no other choice between the two.
    same = [row("FL", 88), row("FL, secure sum", 88, 3e6, receives="sums")]
    assert turning.changes(here[1], same)[0].to == "FL, secure sum"
    assert turning.decided_by(same, [replace(here[1], hours=24.0)])["hardware"] == 0.0
    skewed = [replace(one, task="skewed", skew=0.6, way=one.way, scores=tuple(30.0 + noise for noise in NOISE)) if one.way == "FL"
              else replace(one, task="skewed", skew=0.6) for one in TABLE]  # fmt: skip
    assert turning.decided_by([*TABLE, *skewed], here[1:])["skew"] == 0.0
    assert turning.decided_by([*TABLE, *skewed], here[1:], kept=False)["skew"] == 1.0


def test_messages_grow_with_the_model_and_moved_records_with_their_number() -> None:
    dml, fl = TABLE[0], TABLE[1]
    one, ten = Situation(network="phones"), Situation(network="phones", weights=100_000)
    waits = 2 * 0.05 * fl.rounds
    assert choosing.seconds(fl, ten) - waits == pytest.approx(10 * (choosing.seconds(fl, one) - waits))
    assert choosing.seconds(dml, ten) == choosing.seconds(dml, one)
    assert choosing.seconds(dml, Situation(network="phones", held=4000)) > 9 * choosing.seconds(dml, one)


def test_no_situation_on_the_form_gets_a_recommendation_that_the_table_contradicts() -> None:
    """A hand-made table with close, wide and broken rows, on a third of the grid; the stored tables are in test_choosing_stored."""
    wide = tuple(12 * one for one in NOISE)
    table = [
        *TABLE,
        row("FL, fine-tuned", 88.4, 2e6, noise=wide),
        *(replace(one, task="many", owners=100) for one in TABLE[:5]),
    ]
    answers = {name: options for name, options in GRID.items() if name not in ("skew", "held")}
    seen = set()
    for given in product(*answers.values()):
        found = recommend(Situation(**dict(zip(answers, given, strict=True))), table)
        assert choosing.contradicted(found, table) == []
        seen.add(found.family)
    assert {"FL", "hybrid", "alone", "nothing measured"} <= seen
