import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import learning, models
from course_lib.classroom import exercise, plots
from course_lib.classroom.lessons.packages import Stored
from tests.classroom.explored import explored
from tests.classroom.steady import moved

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"
STUDY = json.loads((STUDIES / "packed_messages.json").read_text(encoding="utf-8"))
ROWS = {(row["part"], row["name"]): row for row in STUDY["rows"]}


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_1(vector, places): ...
def untouched_2(gradient, residual, lossy): ...
def untouched_3(whole, packed, seconds): ...


@pytest.mark.parametrize(("name", "answer"), [("04.q1", untouched_1), ("04.q2", untouched_2), ("04.q3", untouched_3)])
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


def sent(vector: Any, places: Any, scale: float = 1.0) -> Any:
    found = np.zeros(len(vector))
    found[places] = scale * vector[places]
    return found


@pytest.mark.parametrize(
    "answer",
    [
        lambda v, p: sent(v, p, len(v) / len(p)),
        lambda v, p: np.where(np.isin(np.arange(len(v)), p), v, 0) / (len(p) / len(v)),
        lambda v, p: [v[i] * len(v) / len(p) if i in p else 0.0 for i in range(len(v))],
    ],
    ids=["by index", "by mask", "as a list"],
)
def test_a_vector_that_is_right_on_average_is_right(answer: Any) -> None:
    assert judge("04.q1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sent, "what is never said is lost"),  # the misconception of the lesson
        (lambda v, p: sent(v, p, len(p) / len(v)), "upside down"),
        (lambda v, p: sent(v, p, len(v)), "as often as there are numbers"),
        (lambda v, p: sent(v, p, 1 / len(p)), "How many of how many"),
        (lambda v, p: v, "only the numbers at `places` were sent"),
        (lambda v, p: v * len(v) / len(p), "the others are zero"),
        (lambda v, p: 0 * v, "did arrive"),
        (lambda v, p: v[p], r"shape \(2,\)"),
        (lambda v, p: sent(v, p, 7), "the receiver holds"),
        (lambda v, p: sent(v, p, 4) if len(p) == 2 else sent(v, p), "one at a time"),
        (lambda v, p: sent(v, p, 4), "all 8 places"),
        (lambda v, p: v[100], "IndexError"),
    ],
)
def test_each_wrong_random_k_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("04.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def feedback(gradient: Any, residual: Any, lossy: Any) -> Any:
    received = lossy(gradient + residual)
    return received, gradient + residual - received


def in_place(gradient: Any, residual: Any, lossy: Any) -> Any:
    gradient += residual
    received = lossy(gradient)
    gradient -= received
    return [received, gradient]


@pytest.mark.parametrize("answer", [feedback, in_place])
def test_feedback_is_right_however_it_is_written(answer: Any) -> None:
    status, message = judge("04.q2", answer)
    assert status == "right" and "nothing is lost" in message, message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda g, r, lossy: (lossy(g), g - lossy(g)), "what was kept is never said"),
        (lambda g, r, lossy: feedback(g, r, lossy)[::-1], "other way round"),
        (lambda g, r, lossy: (lossy(g + r), g - lossy(g + r)), "forget what was kept before"),
        (lambda g, r, lossy: (lossy(g + r), r), "old residual"),
        (lambda g, r, lossy: (lossy(g + r), 0 * r), "thrown away"),
        (lambda g, r, lossy: (lossy(g + r), g + r), "said twice"),
        (lambda g, r, lossy: (lossy(g + r), lossy(g + r) - g - r), "The sign"),
        (lambda g, r, lossy: (lossy(g) + lossy(r), g), "gradient plus residual"),
        (lambda g, r, lossy: (lossy(g + r), g * 7), "minus what was received"),
        (lambda g, r, lossy: lossy(g + r), "Return two vectors"),
        (lambda g, r, lossy: (lossy(g + r)[:2], r), r"shape \(2,\)"),
        (lambda g, r, lossy: g / lossy, "TypeError"),
    ],
)
def test_each_wrong_feedback_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("04.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer", [lambda w, p, s: (w - p) / s, lambda w, p, s: w / s - p / s, lambda w, p, s: np.float64((w - p) / s)]
)
def test_the_speed_is_right_however_it_is_written(answer: Any) -> None:
    assert judge("04.q3", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, p, s: w / s, "all bytes as saved"),
        (lambda w, p, s: p / s, r"\*\*not\*\* sent"),
        (lambda w, p, s: (p - w) / s, "The sign"),
        (lambda w, p, s: s / (w - p), "upside down"),
        (lambda w, p, s: (w - p) * s, "no speed"),
        (lambda w, p, s: w / p, "Seconds must come in"),
        (lambda w, p, s: 8 * (w - p) / s, "In bits"),
        (lambda w, p, s: 72e6, "both steps take equally long"),
        (lambda w, p, s: "72 MB", "is text"),
        (lambda w, p, s: w / 0, "ZeroDivisionError"),
    ],
)
def test_each_wrong_speed_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("04.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_axes_stay_put_whatever_is_chosen() -> None:
    study = Stored(STUDY)
    menu = ["32 bits", *study.packed()]
    (spent,) = explored("04", plots=plots, study=study, packed=study.packed())
    ends = [{"way": way, "beside": beside} for way, beside in zip(menu, menu[1:] + menu[:1], strict=True)]
    assert moved(spent.fn, *ends) == []
    for name in menu:
        axes = spent.fn(way=name, beside="32 bits").figure.axes[0]
        low, high = axes.get_xlim()
        for line in axes.lines:
            assert low <= min(line.get_xdata()) and max(line.get_xdata()) <= high


def mean(name: str, part: str = "workers") -> float:
    return float(np.mean(ROWS[part, name]["accuracy"]))


def compared(first: str, second: str, claim: Any, part: str = "workers") -> str:
    own, other = ([value / 100 for value in ROWS[part, name]["accuracy"]] for name in (first, second))
    return learning.compare(own, other, claim).outcome


def test_what_is_thrown_away_costs_many_points_and_feedback_brings_them_back() -> None:
    assert mean("32 bits") - mean("top 1%") > 5
    for without, kept in (("top 1%", "top 1%, feedback"), ("1 bit", "1 bit, feedback")):
        assert compared(kept, without, "better") == "holds"
        assert compared(kept, "32 bits", "no worse") == "holds"


def test_chance_is_no_cure_by_itself_and_feedback_does_not_always_win() -> None:
    assert mean("32 bits") - mean("1 bit, at random") > 5
    assert ROWS["workers", "1 bit, at random"]["rate"] == ROWS["workers", "1 bit"]["rate"] / 4
    assert compared("random 1%, unbiased", "random 1%, feedback", "better") == "holds"


def test_feedback_keeps_up_down_to_the_bytes_of_rank_1_and_no_further() -> None:
    study = Stored(STUDY)
    judged = learning.holm(
        {name: learning.compare(study.accuracy(name), study.accuracy("32 bits"), "no worse") for name in study.packed()}
    )
    remembering = [name for name in study.packed() if "feedback" in name or name.startswith("rank")]
    kept = {name for name in remembering if judged[name].outcome == "holds"}
    assert kept == {name for name in remembering if study.fewer(name) <= study.fewer("rank 1")} != set(remembering)
    assert judged["top 0.1%, feedback"].outcome == "cannot tell"
    assert judged["random 1%, feedback"].outcome == "does not hold here"
    assert min(study.packed(), key=study.fewer) == "8 bits"


def test_on_the_digits_whole_gradients_stumble_and_packed_ones_are_not_better_for_being_packed() -> None:
    assert sum(hits < 90 for hits in ROWS["digits", "32 bits"]["accuracy"]) >= 4
    assert min(ROWS["digits", "1 bit, feedback"]["accuracy"]) > 92
    study = Stored(STUDY)
    findings = learning.holm({
        f"{part}: {name}": learning.compare(study.accuracy(name, part), study.accuracy("32 bits", part), "no worse")
        for part in ("digits", "clients")
        for name in study.packed(part)
    })  # fmt: skip
    assert {name: finding.outcome for name, finding in findings.items() if name.startswith("digits")} == {
        "digits: 1 bit, feedback": "holds", "digits: majority vote": "cannot tell", "digits: top 1%, feedback": "holds",
        "digits: rank 1": "cannot tell",
    }  # fmt: skip


def test_the_papers_model_is_some_four_hundred_times_as_large() -> None:
    resnet18 = 11_173_962  # for ten classes, as the paper's code builds it
    assert 400 < resnet18 / sum(one.numel() for one in models.mlp((32,)).build((784,), 10).parameters()) < 450


def test_updates_are_harder_than_gradients() -> None:
    for name in ("1 bit, feedback", "top 1%, feedback", "majority vote", "rank 1"):
        assert compared(name, "32 bits", "no worse", "clients") == "does not hold here", name
    assert compared("1 bit, feedback", "32 bits", "no worse", "digits") == "holds"
    assert compared("8 bits", "32 bits", "no worse", "clients") == "holds"


def test_every_rate_lies_within_its_grid() -> None:
    for row in STUDY["rows"]:
        rates = [tried["rate"] for tried in row["tried"]]
        assert not row["at_edge"] and min(rates) < row["rate"] < max(rates), (row["part"], row["name"])
