"""Lesson 15: its checkers, its figure, what it computes of the stored study, and what its prose says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib import learning
from course_lib.classroom.lessons import dial as turning
from course_lib.classroom.lessons import dial_again
from course_lib.classroom.lessons import dial_trials as trials
from course_lib.classroom.lessons.lesson_15 import q1, q2, q3
from course_lib.classroom.plots.dials import BETTER_THAN, OPEN, SAME_AS, WORSE, dial, kind
from course_lib.learning import CANNOT_TELL
from course_lib.study.dial import STOPS, read
from course_lib.study.dial.clock import PROFILES
from tests.classroom.explored import explored

STUDY = json.loads(
    (Path(__file__).resolve().parents[2] / "course_lib/classroom/studies/dial.json").read_text(encoding="utf-8")
)
TABLE = read(STUDY)


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"
    assert exercise.judge(...).status == "untouched"


@pytest.mark.parametrize(
    ("exercise", "arguments"), [(q1, "how, participants, weights"), (q2, "budget, once, each"), (q3, "low, high")]
)
def test_the_solution_that_is_shown_passes_its_own_check(exercise: Any, arguments: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def answer({arguments}):\n{exercise.code}", scope)
    assert exercise.judge(scope["answer"]).status == "right"


def link(how: str, n: int, d: int, star: float = 8.0, ring: float = 16.0) -> float:
    return star * d if how == "star" else ring * d * (n - 1) / n


@pytest.mark.parametrize("answer", [link, lambda how, n, d: {"star": 8 * d, "ring": 2 * 2 * (n - 1) / n * 4 * d}[how]])
def test_bytes_of_a_link_may_be_worked_out_in_any_way(answer: Callable[..., Any]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda how, n, d: link(how, n, d, star=4), "one way"),
        (lambda how, n, d: link(how, n, d, star=8 * n), "**server's** link"),
        (lambda how, n, d: link(how, n, d, star=2), "four bytes"),
        (lambda how, n, d: link(how, n, d, star=64), "counted bits"),
        (lambda how, n, d: link(how, n, d, star=5), "yours is"),
        (lambda how, n, d: link(how, n, d, ring=8), "**sends**"),
        (lambda how, n, d: 8 * d, "the star's"),
        (lambda how, n, d: link(how, n, d) if how == "star" else 16 * d, "Almost"),
        (lambda how, n, d: link(how, n, d) if how == "star" else 16 * d * (n - 1), "divide by n"),
        (lambda how, n, d: link(how, n, d, ring=3), "bytes a step"),
    ],
)
def test_a_wrong_number_of_bytes_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda b, o, e: max(0, int((b - o) // e)),
        lambda b, o, e: max(0.0, (b - o) // e),
        lambda b, o, e: sum(o + e * k <= b for k in range(1, 99)),
    ],
)
def test_rounds_within_a_budget_may_be_counted_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda b, o, e: b // e, "forgot what has to be paid once"),
        (lambda b, o, e: b / e, "forgot what has to be paid once"),
        (lambda b, o, e: (b - o) / e, "round down"),
        (lambda b, o, e: (b - o) // e + 1, "one round too many"),
        (lambda b, o, e: max(0, round((b - o) / e)), "one round too many"),
        (lambda b, o, e: b // (o + e), "not in every round"),
        (lambda b, o, e: (b - o) // e, "0 rounds, not fewer"),
        (lambda b, o, e: 6, "yours is 6"),
    ],
)
def test_a_wrong_number_of_rounds_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


def say(low: float, high: float) -> str:
    return {"holds": "as good", "cannot tell": "cannot tell"}.get(
        learning.outcome(low, high, "equal", 1), "better" if low > 0 else "worse"
    )


def test_an_interval_may_be_read_in_any_way() -> None:
    assert q3.judge(say).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda low, high: "as good" if low <= 0 <= high else "worse" if high < 0 else "better", "less than a point"),
        (lambda low, high: say((low + high) / 2, (low + high) / 2), "no difference found is not the same as none"),
        (lambda low, high: "worse" if high < 0 else say(low, high), "less than a point"),
        (lambda low, high: "better" if low > -1 and high > 1 else say(low, high), "may be as good or better"),
        (lambda low, high: "equal", "Return one of"),
    ],
)
def test_a_wrong_reading_of_an_interval_is_told_why(answer: Callable[..., Any], told: str) -> None:
    outcome = q3.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


def test_the_figure_says_in_words_how_every_stop_compares() -> None:
    drawn = dial(TABLE)
    for name, title in (("images", "MNIST"), ("tabular", "payments"), ("text", "keyboard")):
        assert title in drawn.summary
        found = {stop: kind(finding) for stop, finding in TABLE.differences(name).items()}
        for which in (SAME_AS, WORSE, BETTER_THAN, OPEN):
            count = sum(own == which for own in found.values())
            assert (f"{which[0].upper()}{which[1:]} ({count})" in drawn.summary) or not count
    assert drawn.figure.get_size_inches()[0] < 11  # wider, and a laptop's notebook would shrink its words


@pytest.mark.slow
def test_the_explorers_axes_stay_and_its_words_follow_every_control() -> None:
    (found,) = explored("15", dial=dial, table=TABLE, turning=turning, study=STUDY)
    assert list(found.controls) == ["data", "budget"] and found.unsteady() == []
    ways = [("images", "gradients"), ("text", "gradients"), ("images", "bytes"), ("images", "office")]
    assert len({found.fn(*way).summary for way in ways}) == 4


def test_what_a_turn_did_is_one_of_the_choices_or_cannot_be_told() -> None:
    found = turning.turned(TABLE)
    assert list(found) == list(turning.GUESSED)
    assert set(found.values()) <= {*turning.CHOICES, CANNOT_TELL}
    for stop, said in found.items():
        mean = TABLE.compare("images", stop, turning.against(TABLE.row("images", stop))).shown
        assert mean is not None
        assert said not in (turning.SOME, turning.MUCH) or mean.mean < -1
        assert said != turning.MUCH or mean.mean < -10


def test_guesses_are_about_stops_that_there_are_and_live_rows_are_quick() -> None:
    assert set(turning.GUESSED) | set(dial_again.LIVE) <= set(STOPS)
    took = {row["stop"]: row["took"] for row in STUDY["rows"] if row["data"] == "images"}
    assert all(took[stop] < 5 for stop in dial_again.LIVE)


def test_a_row_run_again_is_said_to_lie_inside_or_outside_the_stored_runs() -> None:
    row = TABLE.row("images", "fedavg_1")
    live = dial_again.Live(TABLE, "images")
    assert "lies inside that range" in live.said(row, {"score": row.scores()[0]})
    assert "lies OUTSIDE that range" in live.said(row, {"score": 0.2})


def test_the_panel_runs_the_row_that_was_chosen() -> None:
    live = dial_again.Live(TABLE, "images")
    panel = dial_again.Panel(live, "fedavg_1", "first")
    panel.menu.value = "one_machine"
    panel.again()
    assert "one machine, seed 0: stored" in panel.answer.value and not panel.button.disabled
    assert panel.bar.value == panel.bar.max


def test_the_computed_findings_name_what_the_table_holds() -> None:
    found = turning.findings(TABLE)
    lost = TABLE.compare("images", "attacked", "fedavg_1").shown
    assert lost is not None and f"{lost.mean:+.1f} points" in next(
        said for head, said in found.items() if "attack" in head
    )
    for name, title in turning.NAMES.items():
        kinds = [kind(own) for own in TABLE.differences(name).values()]
        assert f"{title}: {kinds.count(OPEN)} of {len(kinds)} stops" in found["What nobody can tell"]
    ahead = found["For as many gradients, without a pool of all data"]
    assert "Better than DDP: nowhere shown." in ahead and "digits: hybrid" in ahead
    behind = TABLE.differences("images")["fedavg_01"].shown
    assert behind is not None and f"{TABLE.row('images', 'fedavg_01').title} ({behind.mean:+.1f} points)" in ahead
    assert all(said.strip() for said in found.values())


def test_fl_is_held_against_three_ways_of_dml_and_a_rival_without_a_step_is_said_to_have_none() -> None:
    said = turning.rivals(TABLE, "bytes")
    for rival in turning.RIVALS:
        for name in ("images", "text"):
            over = TABLE.compare(name, "fedavg_1", rival, budget="bytes").shown
            assert over is not None and f"{turning.NAMES[name]} {over.mean:+.1f} points" in said
    assert said.count("payments: it has not taken a step") == len(turning.RIVALS)
    assert turning.rivals(TABLE, "phones").count("not taken a step") == 2  # one machine gets the data once, and trains


def test_a_stop_without_a_step_is_one_that_the_budget_does_not_pay_the_moving_of_data() -> None:
    moved = TABLE.row("tabular", "one_machine").mean("bytes_per_participant")
    assert moved is not None and moved > TABLE.budgets["tabular"]["bytes"]
    assert TABLE.idle("tabular", "bytes") == {"one_machine", "ddp", "local_sgd", "diloco", "asynchronous"}
    for name in turning.NAMES:
        assert not TABLE.idle(name, "gradients")
    # Models that name the most frequent character, whatever came before, score alike as well, but they have trained.
    assert "ddp" not in TABLE.idle("text", "bytes") and not TABLE.idle("text", "phones")
    drawn = dial(TABLE, ("tabular",), "bytes").summary
    assert "without a step are one machine; DDP" in drawn and "without a step" not in dial(TABLE).summary


def test_privacys_floor_on_the_keyboard_is_told_because_it_is_one() -> None:
    said = turning.findings(TABLE)["What privacy costs"]
    accuracy = [run["accuracy"] for run in TABLE.row("text", "example_8").runs]
    assert max(accuracy) - min(accuracy) < 0.002 and "name one character" in said


def test_the_verdicts_judge_each_stop_on_each_data_set() -> None:
    assert len(trials.judged(TABLE, ["local_sgd", "diloco"], "ddp", "no worse")) == 6
    # What is lost behind the robust rule is the rule's own price: against the same rule in peace nothing is.
    behind = trials.lost(TABLE, ["defended"], "rule_alone")
    assert [one.outcome for one in behind.values()] == ["does not hold here"] * 3
    assert {one.outcome for one in trials.lost(TABLE, ["rule_alone"], "fedavg_1").values()} == {"holds", "cannot tell"}
    gone = trials.lost(TABLE, ["attacked"], "fedavg_1")
    assert [one.outcome for one in gone.values()] == ["holds"] * 3
    times = trials.bandwidth(TABLE, ["fedavg_1", "eight_bits"])
    assert times["payments, updates in 8 bits"].outcome == "holds" and len(times) == 6
    assert {one.outcome for name, one in trials.deep(TABLE).items() if "learns" in name} == {"holds"}


def test_every_stop_computes_the_gradients_that_the_table_of_prices_names() -> None:
    for row in TABLE.of("images").values():
        assert row.broke or row.mean("examples") == pytest.approx(80_000, rel=0.001)


def test_what_the_prose_says_of_talking_is_so() -> None:
    for name in turning.NAMES:
        ddp, fedavg = TABLE.row(name, "ddp"), TABLE.row(name, "fedavg_1")
        assert (ddp.mean("bytes_per_participant") or 0) > 10 * (fedavg.mean("bytes_per_participant") or 1)
    assert TABLE.row("images", "ddp").interval().mean > TABLE.row("images", "fedavg_1").interval().mean
    assert TABLE.compare("images", "fedavg_1", "ddp", "better", "bytes").outcome == "holds"
    hybrid = TABLE.row("images", "hybrid")
    assert (hybrid.mean("bytes_across") or 1) < 0.02 * (hybrid.mean("bytes_per_participant") or 0)
    phones = PROFILES["phones"]
    assert phones.around(20, 0.0) == pytest.approx(38 * phones.latency)
    for name in turning.NAMES:  # the same method, whoever owns the data
        assert TABLE.compare(name, "fedavg_iid", "local_sgd").outcome != "does not hold here"


def test_what_the_take_aways_say_of_crowds_and_of_unlike_owners_is_so() -> None:
    def lost(name: str, stop: str, against: str) -> float:
        return TABLE.row(name, against).interval().mean - TABLE.row(name, stop).interval().mean

    for epsilon in (8, 3, 1):
        assert lost("images", f"user_{epsilon}", "fedavg_1") > lost("images", f"crowd_user_{epsilon}", "crowd") + 0.05
    assert learning.compare(
        TABLE.row("images", "fedavg_1").scores(), TABLE.row("images", "fedavg_01").scores(), "better", margin=0.01
    ).outcome == "holds"  # fmt: skip
    assert lost("tabular", "fedavg_01", "fedavg_iid") < 0.01 and lost("text", "fedavg_01", "fedavg_iid") < 0.01
