"""Lesson 17: its checkers, its chooser's form, its stored studies, and what its text says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import classroom, learning
from course_lib.classroom import chooser
from course_lib.classroom.lessons.lesson_17 import q1, q2, q3
from course_lib.classroom.lessons.uses import _SIGNS, PRIVATE, STORIES, Small, Uses
from course_lib.study import cases, choosing, tables, turning, ways
from tests.classroom.explored import explored
from tests.classroom.steady import moved_by

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"
STUDY = json.loads((STUDIES / "cases.json").read_text(encoding="utf-8"))
ROWS = tables.from_cases(STUDY)
USES = Uses(STUDY, ROWS)
EVERYTHING = ROWS + tables.from_dial(classroom.stored("dial"))
SMALL = Small(json.loads((STUDIES / "edge.json").read_text(encoding="utf-8")))


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"
    assert exercise.judge(...).status == "untouched"


def test_an_untouched_defence_counts_as_not_attempted() -> None:
    assert q3.judge(...).status == "untouched"
    assert q3.judge([...]).status == "untouched"


@pytest.mark.parametrize(
    "answer",
    [
        lambda sizes, way: 1.0 if way == "DML" else max(sizes) / sum(sizes),
        lambda sizes, way: np.float64({"DML": sum(sizes), "FL": max(sizes)}[way] / sum(sizes)),
        lambda sizes, way: (sum(sizes) if way == "DML" else np.max(sizes)) / sum(sizes),
    ],
)
def test_the_share_that_is_exposed_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda sizes, way: 1.0 if way == "DML" else 0.0, "so they lie **with their owners**"),
        (lambda sizes, way: 1.0, "opens one owner's store"),
        (lambda sizes, way: 1.0 if way == "DML" else 1 / len(sizes), "not equally large"),
        (lambda sizes, way: 100.0 if way == "DML" else 100 * max(sizes) / sum(sizes), "per cent"),
        (lambda sizes, way: 0.5 if way == "DML" else max(sizes) / sum(sizes), "In one place lies everything"),
        (lambda sizes, way: 1.0 if way == "DML" else min(sizes) / sum(sizes), "the worst single break-in gets"),
        (lambda sizes, way: "all", "is text"),
    ],
)
def test_a_wrong_share_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


@pytest.mark.parametrize(
    "answer",
    [lambda r, n, w: r * n / (2 * w), lambda r, n, w: np.float32(4 * r * n) / (8 * w), lambda r, n, w: r / w * n / 2],
)
def test_breaking_even_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda r, n, w: r * n / w, "one direction"),
        (lambda r, n, w: r * n / (8 * w), "to the weights alone"),
        (lambda r, n, w: 4 * r * n / (2 * w), "to the records alone"),
        (lambda r, n, w: -(-r * n // (2 * w)), "Do not round"),
        (lambda r, n, w: r * n // (2 * w), "Do not round"),
        (lambda r, n, w: 2 * w / (r * n), "Upside down"),
        (lambda r, n, w: r / (2 * w), "several numbers"),
        (lambda r, n, w: r * n / (3 * w), "break even after"),
    ],
)
def test_a_wrong_break_even_is_told_what_is_wrong_with_it(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


def right() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for case in STORIES:
        situation, rows = USES.situation(case), USES.of(case)
        chosen = choosing.recommend(situation, rows).row
        assert chosen is not None
        left = [row for row in rows if row.way != chosen.way and not choosing.forbids(row, situation)]
        found[case] = (chosen.way, max(left, key=lambda row: row.mean).way)
    return found


def told(pairs: dict[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(case, *pair) for case, pair in pairs.items()]


def test_the_defence_that_the_table_gives_is_right_in_any_order_and_as_lists() -> None:
    assert q3.judge(told(right())).status == "right"
    assert q3.judge(tuple(list(one) for one in reversed(told(right())))).status == "right"


def test_the_solution_that_is_shown_passes_its_own_check() -> None:
    for exercise, head in ((q1, "def answer(sizes, way):\n"), (q2, "def answer(records, numbers, weights):\n")):
        scope: dict[str, Any] = {}
        exec(head + exercise.code, scope)
        assert exercise.judge(scope["answer"]).status == "right"
    scope = {}
    exec("answer = [\n" + q3.code + "\n]", scope)
    assert scope["answer"] == told(right()) and q3.judge(scope["answer"]).status == "right"


@pytest.mark.parametrize(
    ("case", "pair", "said"),
    [
        (
            "payment fraud",
            ("DML", "alone"),
            "DML is out of the question, because somebody would hold everybody's records",
        ),
        ("payment fraud", ("FL", "alone"), "FL is out of the question, because others would see single models"),
        (
            "payment fraud",
            ("alone", "FL, secure sum"),
            "the table contradicts you. Better than alone by more than a point",
        ),
        ("payment fraud", ("FL, secure sum", "DML"), "DML is no rival: it is out"),
        ("payment fraud", ("FL, secure sum", "FL, epsilon 3"), "is not the strongest rival. alone scores"),
        ("payment fraud", ("FL, secure sum", "FL, secure sum"), "is no rival of itself"),
        ("payment fraud", ("magic", "alone"), "'magic' is not in its table. There are: DML"),
    ],
)
def test_a_defence_that_the_table_contradicts_is_refused_by_name(case: str, pair: tuple[str, ...], said: str) -> None:
    outcome = q3.judge(told({**right(), case: pair}))
    assert outcome.status == "wrong" and said in outcome.message and case in outcome.message


@pytest.mark.parametrize("answer", [[], {"payment fraud": ("FL", "alone")}, "FL", ["FL"], [("payment fraud", "FL")]])
def test_a_defence_of_another_shape_is_told_which_it_takes(answer: Any) -> None:
    outcome = q3.judge(answer)
    assert outcome.status == "wrong" and "list of triples" in outcome.message


def test_a_story_that_is_left_out_or_defended_twice_is_missed() -> None:
    for answer in (told(right())[:3], [*told(right())[:3], told(right())[0]]):
        outcome = q3.judge(answer)
        assert outcome.status == "wrong" and "Defend each story once" in outcome.message


# --- the chooser, on the stored table ---


@pytest.mark.slow
def test_no_situation_gets_a_recommendation_that_the_stored_table_contradicts() -> None:
    families = set()
    for situation in turning.everywhere():
        found = choosing.recommend(situation, EVERYTHING)
        assert choosing.contradicted(found, EVERYTHING) == [], situation
        if found.row is not None:
            assert not choosing.forbids(found.row, situation)
        families.add(found.family)
    assert {"DML", "FL", "hybrid", "alone"} <= families


def test_the_form_asks_every_question_says_what_it_asked_and_keeps_its_axes() -> None:
    choose, menus = chooser.form(EVERYTHING)
    assert len(menus) == len(choosing.GRID)
    first = choose()
    assert first.summary.startswith("Asked: raw records stay")
    below = first.figure.get_supxlabel().replace("\n", " ").strip()  # what only a summary says, most readers never see
    assert below.startswith("What would change it") and below in first.summary
    said = [first.summary]
    for asked, menu in menus.items():
        assert isinstance(menu, dict)
        said += [choose(**{asked: answer}).summary for answer in list(menu.values())[-1:]]
    assert len(set(said)) >= len(said) - 1  # one of the last answers may be the start's
    few = {asked: dict(list(menu.items())[:2]) for asked, menu in menus.items() if isinstance(menu, dict)}
    assert moved_by(choose, **few) == []


def test_the_lessons_explorer_is_the_form() -> None:
    (found,) = explored("17", chooser=chooser, everything=EVERYTHING)
    assert list(found.controls) == list(chooser.form(EVERYTHING)[1])


# --- the stored studies ---


def test_no_row_has_fewer_than_ten_seeds_and_no_rate_is_at_the_edge() -> None:
    assert len(STUDY["seeds"]) == 10 and all(len(row["runs"]) == 10 for row in STUDY["rows"])
    assert {row["case"] for row in STUDY["rows"]} == set(cases.CASES)
    at_edge = [(row["case"], row["way"]) for row in STUDY["rows"] if row["at_edge"]]
    assert len(at_edge) <= 0.1 * len(STUDY["rows"]), at_edge


@pytest.mark.slow
def test_a_row_that_the_test_draws_can_be_measured_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Another processor may round otherwise: then the run is near its stored twin, inside the spread of the seeds."""
    drawn = np.random.default_rng()
    quick = [
        row
        for row in STUDY["rows"]
        if row["case"] in ("diagnosis", "voice", "forecasting") and row["way"] != "FL, epsilon 3"
    ]
    row, seed = quick[drawn.integers(len(quick))], int(drawn.integers(10))
    print(row["case"], row["way"], seed)
    case = cases.CASES[row["case"]]
    found = cases.deal(case, seed)
    judged = ways.judge(case, ways.train(case, row["way"], row["rate"], seed, found), found)
    scores = [run["score"] for run in row["runs"]]
    spread = max(scores) - min(scores)
    assert 100 * judged["score"] == pytest.approx(row["runs"][seed]["score"], abs=max(1.0, spread))
    assert row["runs"][seed]["membership"] == pytest.approx(judged["membership"], abs=0.05)


def test_what_a_thief_gets_is_counted_on_the_data_itself() -> None:
    found = cases.deal(cases.CASES["payment fraud"], 0)
    about = USES.about["payment fraud"]
    assert about["breach"]["central store"]["records"] == len(found.train) == sum(about["sizes"])
    assert about["breach"]["largest owner"]["records"] == max(map(len, found.clients))
    assert (
        about["breach"]["server of FL"]["records"] == 0
        and about["breach"]["server of FL"]["updates"] == len(found) == 20
    )


def test_a_secure_sum_is_as_accurate_as_fl_and_what_it_hides_costs_bytes() -> None:
    for case in USES.about:
        if (case, "FL, secure sum") in USES.stored:
            # The convolutional net at its rate makes points of a last digit, either way: there ten seeds cannot tell.
            allowed = {"holds", "cannot tell"} if case == "driving" else {"holds"}
            assert USES.compared(case, "FL, secure sum", "FL", "equal").outcome in allowed
            plain, summed = (USES.stored[case, way]["runs"][0]["bytes_owner"] for way in ("FL", "FL, secure sum"))
            assert summed > plain


def test_what_the_prose_says_of_the_nine_uses_is_so() -> None:
    for case in ("payment fraud", "keyboard", "recommendations", "diagnosis"):
        assert USES.compared(case, "FL", "alone", "better").outcome == "holds"
    assert USES.compared("heart disease", "FL", "alone", "better").outcome != "holds"
    assert USES.compared("IoT sensors", "alone", "DML", "better").outcome == "holds"
    assert USES.compared("IoT sensors", "alone", "FL", "better", margin=0.1).outcome == "holds"
    assert USES.compared("forecasting", "alone", "FL", "better", margin=0.0).outcome == "holds"
    assert USES.compared("forecasting", "DML", "alone", "better", margin=0.0).outcome != "holds"


def test_how_often_fl_beat_each_alone_and_lost_to_it_is_as_the_take_aways_count() -> None:
    named = [name for name in USES.about if name not in cases.COMPARISONS]
    gains = learning.holm({name: USES.compared(name, "FL", "alone", "better") for name in named})
    losses = learning.holm({name: USES.compared(name, "alone", "FL", "better", margin=0.0) for name in named})
    counted = [sum(one.outcome == "holds" for one in found.values()) for found in (gains, losses)]
    assert len(named) == 9 and counted == [4, 3]


def test_what_the_verdicts_judge_is_what_the_studies_hold() -> None:
    assert [one.outcome for one in USES.breaches().values()] == ["holds"] * 5
    assert len(USES.suited()) == 10 and len(SMALL.trials()) == 4 * len(SMALL.tasks)
    assert {name.split(":")[0] for name in USES.suited()} == set(PRIVATE)
    signs = cases.deal(cases.CASES["driving"], 0)
    assert len(signs.train.classes) == _SIGNS


def test_what_the_prose_says_of_fraud_and_patients_is_so() -> None:
    worst = {way: np.mean(USES.scores("payment fraud", way, "worst")) for way in ("alone", "FL", "DML")}
    assert worst["alone"] < worst["FL"] < worst["DML"]
    together = [np.mean(USES.scores("diagnosis", way)) for way in ("DML", "FL", "hybrid", "gossip", "FL, fine-tuned")]
    assert max(together) - min(together) < 0.01
    assert np.mean(USES.scores("diagnosis", "alone", "worst")) < np.mean(USES.scores("diagnosis", "FL", "worst")) - 0.02


def test_what_the_prose_says_of_voices_and_road_signs_is_so() -> None:
    for case in ("voice", "driving"):
        assert USES.compared(case, "DML", "alone", "better", margin=0.0).outcome == "holds"
        assert USES.compared(case, "FL", "alone", "better").outcome != "holds"
    assert {about["passes"] for about in USES.about.values()} == {8, 15, 20}
    for case in ("IoT sensors", "forecasting"):
        assert USES.compared(case, "FL, fine-tuned", "FL", "better").outcome == "holds"


def test_what_the_prose_says_of_stolen_models_is_so() -> None:
    for case in ("keyboard", "recommendations"):
        seen = {way: np.mean([run["membership"] for run in USES.stored[case, way]["runs"]])
                for way in ("alone", "FL, fine-tuned", "DML", "FL")}  # fmt: skip
        assert min(seen["alone"], seen["FL, fine-tuned"]) > max(seen["DML"], seen["FL"]) + 0.05


def test_what_the_prose_says_of_small_models_is_so() -> None:
    """A quarter of the bytes, no accuracy lost, and a small model answers more slowly."""
    for task in SMALL.tasks:
        assert SMALL.lost(task, "8 bits").outcome == "holds"
    assert SMALL.smaller("2NN, digits", "8 bits") > 3.5
    for task in SMALL.tasks:  # one answer at a time, as the README says
        assert SMALL.faster(task, "8 bits").outcome == "does not hold here"
    assert SMALL.faster("2NN, digits", "8 bits", "microseconds, 32").outcome == "holds"
