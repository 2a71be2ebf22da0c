"""The checkers of lesson 03: right, untouched, and what each likely slip is told; the clock; and the stored study."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import learning
from course_lib.classroom.lessons.lesson_03 import q1, q2, q3
from course_lib.classroom.lessons.stragglers import Stored, clock
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.asynchronous.timelines import IN_STEP, timeline
from course_lib.federated.participation import Device, Devices
from tests.classroom.explored import explored

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"
STUDY = json.loads((STUDIES / "staleness.json").read_text(encoding="utf-8"))


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"
    assert exercise.judge(...).status == "untouched"


def weighted(gradients: list[float], staleness: list[int]) -> float:
    total = count = 0.0
    for gradient, late in zip(gradients, staleness, strict=True):
        total, count = total + gradient / (1 + late), count + 1 / (1 + late)
    return total / count


@pytest.mark.parametrize(
    "answer",
    [
        weighted,
        lambda g, s: np.average(g, weights=[1 / (1 + late) for late in s]),
        lambda g, s: np.float32(weighted(g, s)),
    ],
)
def test_the_weighted_mean_may_be_written_in_any_way(answer: Callable[..., Any]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda g, s: sum(x / (1 + late) for x, late in zip(g, s, strict=True)) / len(g), "sum of the weights"),
        (lambda g, s: sum(x / (1 + late) for x, late in zip(g, s, strict=True)), "Divide it"),
        (lambda g, s: sum(g) / len(g), "plain mean"),
        (lambda g, s: np.average(g, weights=[1 + late for late in s]), "count more"),
        (lambda g, s: g[0], "fresh gradient alone"),
        (lambda g, s: np.average(g, weights=[0.5**late for late in s]), "have the mean"),
        (lambda g, s: "none", "is text"),
    ],
)
def test_a_wrong_mean_of_late_gradients_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda t: 1 - sum(t) / len(t) / max(t),
        lambda t: float(np.mean(max(t) - np.array(t)) / max(t)),
        lambda t: sum(max(t) - own for own in t) / (len(t) * max(t)),
    ],
)
def test_time_lost_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda t: sum(t) / len(t) / max(t), "in which they compute"),
        (lambda t: 100 * (1 - sum(t) / len(t) / max(t)), "per cent"),
        (lambda t: 1 - min(t) / max(t), "fastest worker"),
        (lambda t: max(t) - sum(t) / len(t), "seconds a step"),
        (lambda t: 1 - min(t) / (sum(t) / len(t)), "not when the average"),
        (lambda t: 0.0, "all wait for the slowest"),
        (lambda t: 0.45, "wait 60.0%"),
        (lambda t: 1 - sum(t) / len(t) / max(t) if len(set(t)) > 1 else 1, "equally quick"),
    ],
)
def test_a_wrong_share_of_time_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


def outer(theta: float, change: float, momentum: float) -> tuple[float, float]:
    momentum = 0.9 * momentum + change
    return theta + 0.7 * (change + 0.9 * momentum), momentum


@pytest.mark.parametrize(
    "answer",
    [outer, lambda t, c, m: list(outer(t, c, m)), lambda t, c, m: (np.float64(outer(t, c, m)[0]), outer(t, c, m)[1])],
)
def test_the_outer_step_may_be_written_in_any_way(answer: Callable[..., Any]) -> None:
    assert q3.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda t, c, m: (2 * t - outer(t, c, m)[0], outer(t, c, m)[1]), "The wrong sign: this climbs"),
        (lambda t, c, m: (t - 0.7 * (0.9 * m + c), 0.9 * m + c), "The wrong sign: this climbs"),
        (lambda t, c, m: (t - 0.7 * c, m), "The wrong sign: this climbs"),
        (lambda t, c, m: (t + 0.7 * (0.9 * m + c), 0.9 * m + c), "plain momentum"),
        (lambda t, c, m: (t + c, m), "local SGD"),
        (lambda t, c, m: (t + 0.7 * c, 0.9 * m + c), "momentum is missing"),
        (lambda t, c, m: (t + 0.7 * (c + 0.9 * m), 0.9 * m + c), "the new momentum"),
        (lambda t, c, m: (outer(t, c, m)[0], m), "the new momentum is"),
        (lambda t, c, m: (t, 0.9 * m + c), "the new weights are"),
        (lambda t, c, m: outer(t, c, m)[0], "two things"),
    ],
)
def test_a_wrong_outer_step_is_told_what_is_wrong_with_it(answer: Callable[..., Any], told: str) -> None:
    outcome = q3.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


@pytest.mark.parametrize("exercise", [q1, q2, q3])
def test_the_solution_that_is_shown_passes_its_own_check(exercise: Any) -> None:
    arguments = {q1: "gradients, staleness", q2: "seconds", q3: "theta, change, momentum"}[exercise]
    scope: dict[str, Any] = {}
    exec(f"def answer({arguments}):\n{exercise.code}", scope)
    assert exercise.judge(scope["answer"]).status == "right"


def test_the_clock_says_who_waits_how_long() -> None:
    fleet = Devices([Device(str(speed), speed, uplink=1e9, downlink=1e9) for speed in (10, 2)])
    ways = {"in step": Asynchronous(bound=0), "out of step": Asynchronous()}
    shown = clock({way: timeline(fleet, [1, 1], 40, by) for way, by in ways.items()}, 2.0, "Two workers")
    assert "in step: worker 0 waits 80%, worker 1 waits 0%." in shown.summary
    assert "out of step: worker 0 waits 0%, worker 1 waits 0%." in shown.summary


def test_a_piece_that_the_end_cuts_through_does_not_make_waiting_look_like_less() -> None:
    fleet = Devices([Device(str(speed), speed, uplink=1e9, downlink=1e9) for speed in (10, 2)])
    table = timeline(fleet, [10, 10], 5, IN_STEP)  # a merge takes 5 seconds, and the picture ends after 6
    assert "worker 0 waits 80%" in clock({"local SGD": table}, 6.0, "Merging seldom").summary


def test_the_clocks_axes_stay_put_while_the_slow_worker_slows_down_and_its_words_follow() -> None:
    names = {"Asynchronous": Asynchronous, "Device": Device, "Devices": Devices, "IN_STEP": IN_STEP}
    (found,) = explored("03", clock=clock, timeline=timeline, **names)
    assert list(found.controls) == ["slow"] and found.unsteady() == []
    said = {slow: found.fn(slow).summary for slow in (1.0, 5.0, 10.0)}
    assert len(set(said.values())) == 3 and all("out of step (" in words for words in said.values())


of = Stored(STUDY).of


def test_what_the_prose_says_of_late_gradients_is_so() -> None:
    alone, fresh = of("staleness", "1"), of("low rate", "1")
    rates = {(row["part"], row["name"]): row["rate"] for row in STUDY["rows"]}
    assert rates["low rate", "1"] == rates["staleness", "16"]
    assert all(max(of("one rate", name)) < 0.15 for name in ("4", "8", "16"))  # chance is 0.1
    assert rates["staleness", "4"] == pytest.approx(rates["staleness", "1"] / 4)
    assert learning.compare(alone, of("staleness", "4"), "better", margin=0.01).outcome == "cannot tell"
    assert learning.compare(alone, of("staleness", "4"), "equal", margin=0.03).outcome == "holds"  # "come close"
    for name in ("8", "16"):
        assert learning.compare(alone, of("staleness", name), "better", margin=0.05).outcome == "holds"
    by_rate, by_lateness = np.mean(alone) - np.mean(fresh), np.mean(fresh) - np.mean(of("staleness", "16"))
    assert 2 * by_rate < by_lateness
    assert learning.compare(fresh, of("staleness", "16"), "better", margin=0.05).outcome == "holds"


def test_the_slow_workers_gradients_make_a_hump_of_their_own() -> None:
    late = Stored(STUDY).late("updates", "asynchronous")
    shares = list(late.values())
    assert sum(shares) == pytest.approx(100, abs=0.5)
    hump = max(range(3, len(shares)), key=lambda at: shares[at])
    one_by_one = Stored(STUDY).late("updates", "asynchronous", width=1)
    assert max(one_by_one, key=lambda at: one_by_one[at]) == 2  # the three others
    assert abs(max(range(8, 25), key=lambda at: one_by_one[at]) - 15) <= 1
    assert min(shares[1:hump]) < shares[hump] / 2 and list(late)[hump] > 10


def test_what_the_prose_says_of_remedies_is_so() -> None:
    rates = {(row["part"], row["name"]): row["rate"] for row in STUDY["rows"]}
    for name in ("1", "16"):
        assert rates["momentum", name] == pytest.approx(rates["staleness", name] / 16, rel=0.01)
    found = learning.holm(
        {
            "one": learning.compare(of("momentum", "1"), of("staleness", "1"), "no worse"),
            "momentum": learning.compare(of("momentum", "16"), of("staleness", "16"), "better"),
            "aware": learning.compare(of("aware", "16"), of("staleness", "16"), "better"),
        }
    )
    assert {name: finding.outcome for name, finding in found.items()} == dict.fromkeys(found, "holds")
    for part in ("aware", "momentum"):
        assert learning.compare(of("staleness", "1"), of(part, "16"), "better", margin=0.01).outcome == "holds"


def test_what_the_prose_says_of_equal_terms_is_so() -> None:
    study = Stored(STUDY)
    every, seldom = of("updates", "synchronous"), of("updates", "local SGD")
    assert learning.compare(of("updates", "DiLoCo"), every, "no worse").outcome == "holds"
    assert learning.compare(every, seldom, "better").outcome == "holds"  # it is behind ...
    assert learning.compare(seldom, every, "equal").outcome == "cannot tell"  # ... by how much, nobody knows
    assert 1 < sum(own < 0.9 for own in seldom) <= 5
    for name in ("local SGD", "DiLoCo"):
        assert study.megabytes(name) == pytest.approx(study.megabytes("synchronous") / 10, rel=0.05)
        assert np.mean(study.on("bytes", name)) > np.mean(study.on("bytes", "synchronous")) + 0.2
        assert learning.compare(of("time", "synchronous"), of("time", name), "better", margin=0.01).outcome == "holds"
    ahead = learning.compare(of("time", "asynchronous"), of("time", "synchronous"), "better", margin=0.1)
    assert ahead.outcome == "holds"
    taken = {
        row["name"]: np.mean([run["curve"][-1][0] for run in row["runs"]])
        for row in STUDY["rows"]
        if row["part"] == "time"
    }
    assert taken["asynchronous"] == pytest.approx(4 * taken["synchronous"], rel=0.1)
    assert max(taken["local SGD"], taken["DiLoCo"]) <= taken["synchronous"]
