import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import learning
from course_lib.classroom import exercise, plots
from course_lib.compression import Quantise
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Devices
from tests.classroom.explored import explored
from tests.classroom.steady import moved

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"
STUDY = json.loads((STUDIES / "unreliable.json").read_text(encoding="utf-8"))
RUNS = {(row["part"], row["name"]): row["runs"] for row in STUDY["rows"]}
TIED = "half lost, same half"


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_break_even(weights, round_count, clients_per_round, bytes_an_example): ...
def untouched_8_bits(update): ...


@pytest.mark.parametrize(("name", "answer"), [("09.q1", untouched_break_even), ("09.q2", untouched_8_bits)])
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, r, c, b: 4 * w * r * c / b, "one direction"),
        (lambda w, r, c, b: 2 * w * r * c / b, "a byte a weight"),
        (lambda w, r, c, b: w * r * c / b, "weights, not bytes"),
        (lambda w, r, c, b: 8 * w * r * c, "Divide by the bytes of an example"),
        (lambda w, r, c, b: 8 * w * r / b, "one client"),
        (lambda w, r, c, b: 8 * w * c / b, "one round"),
        (lambda w, r, c, b: b / (8 * w * r * c), "upside down"),
        (lambda w, r, c, b: 17, "you return 17"),
        (lambda w, r, c, b: 8 * w * r * c / b if b == 200 else 0, "Right for one run"),
        (lambda w, r, c, b: w / 0, "ZeroDivisionError"),
    ],
)
def test_each_wrong_break_even_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("09.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer", [lambda w, r, c, b: 8 * w * r * c / b, lambda w, r, c, b: -(-8 * w * r * c // b)], ids=["exact", "whole"]
)
def test_the_break_even_may_be_rounded_up_to_whole_examples(answer: Any) -> None:
    status, message = judge("09.q1", answer)
    assert status == "right" and "64,082" in message, message


def eight_bits(update: np.ndarray, rounded: Any = np.round, levels: int = 127, size: Any = np.abs) -> np.ndarray:
    step = size(update).max() / levels
    return rounded(update / step) * step if step > 0 else update


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda u: np.round(u / (np.abs(u).max() / 127)), "whole numbers that travel"),
        (lambda u: eight_bits(u, np.trunc), "cut off"),
        (lambda u: eight_bits(u, np.floor), "rounded down"),
        (lambda u: u, "Nothing is rounded"),
        (lambda u: eight_bits(u, size=np.asarray), "largest \\*\\*size\\*\\*"),
        (lambda u: eight_bits(u, levels=255), "Divide by 127"),
        (lambda u: eight_bits(u, levels=128), "not by 128"),
        (lambda u: u[:2], r"shape \(2,\)"),
        (lambda u: 0 * u + 3, "the server unpacks"),
        (lambda u: np.round(u / (np.abs(u).max() / 127)) * (np.abs(u).max() / 127), "zeros should stay one"),
        (lambda u: u @ u[:2], "ValueError"),
    ],
)
def test_each_wrong_rounding_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("09.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_rounding_is_what_the_library_does() -> None:
    assert judge("09.q2", eight_bits)[0] == "right"
    update = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    packed, _ = Quantise().pack(update)
    unpacked = Quantise().unpack(packed, len(update)).numpy()
    assert np.allclose(unpacked, eight_bits(update.numpy()), rtol=0, atol=1e-6)


def test_the_axis_of_the_answers_stays_put_while_the_knobs_turn_and_they_have_their_units() -> None:
    (who,) = explored(
        "09", plots=plots, Devices=Devices, Quantise=Quantise, message=4 * 50_890,
        devices=[LAPTOP, PHONE] * 25 + [OLD_PHONE] * 50, LAPTOP=LAPTOP, PHONE=PHONE, OLD_PHONE=OLD_PHONE,
    )  # fmt: skip
    assert who.units == {"deadline": "s", "over_selection": "times as many", "local_passes": "epochs"}
    extremes = [
        {"deadline": 0.5, "over_selection": 1.0, "local_passes": 10, "partial_work": False, "eight_bits_up": False},
        {"deadline": 5.0, "over_selection": 1.0, "local_passes": 1, "partial_work": True, "eight_bits_up": True},
        {"deadline": 5.0, "over_selection": 3.0, "local_passes": 1, "partial_work": True, "eight_bits_up": True},
    ]
    assert moved(who.fn, *extremes) == []
    for each in extremes:
        drawn = who.fn(**each).figure.axes[0]
        assert all(bar.get_width() <= drawn.get_xlim()[1] for bar in drawn.patches)


def mean(part: str, name: str, key: str = "accuracy") -> Any:
    """The mean over the seeds: of "halves" and "heard" one number for either half."""
    return np.mean([run[key] for run in RUNS[part, name]], axis=0)


def gap(name: str) -> float:
    """How many points the model is better at the digits 0 to 4."""
    low, high = mean("lost", name, "halves")
    return float(low - high)


def test_answers_lost_by_chance_cost_little_and_tied_losses_the_digits_of_those_who_are_lost() -> None:
    everyone = mean("lost", "all answer")
    assert everyone - mean("lost", "half lost by chance") < 1
    assert mean("lost", "by chance, twice the rounds") > everyone
    assert everyone - mean("lost", TIED) > 10 and gap(TIED) > 4 * gap("all answer")
    # twice the rounds bring back more than half of the loss, and not evenly
    assert everyone - mean("lost", "same half, twice the rounds") < (everyone - mean("lost", TIED)) / 2
    assert gap("same half, twice the rounds") > 2 * gap("all answer")


def test_asking_more_often_gains_the_most_weights_are_noisy_and_both_together_are_the_most_even() -> None:
    often, weighted, both = remedies = ["asked more often", "weighted", "asked more often, weighted"]
    accuracy = {name: [run["accuracy"] / 100 for run in RUNS["lost", name]] for name in remedies}
    for other in (weighted, both):
        assert learning.compare(accuracy[often], accuracy[other], "better").outcome == "holds"
    low, high = mean("lost", often, "heard")
    assert low > 1.5 * high
    assert gap(both) < gap(weighted) and gap(both) < gap(often)
    assert mean("lost", weighted, "megabytes_up") == mean("lost", TIED, "megabytes_up")
    assert mean("lost", both, "megabytes_down") > 2 * mean("lost", TIED, "megabytes_down")
    spread = {name: np.std([run["halves"][1] for run in RUNS["lost", name]]) for name in ["all answer", *remedies]}
    assert max(spread, key=spread.__getitem__) == weighted


def test_a_deadline_and_the_first_to_answer_choose_the_digits() -> None:
    for name in ("deadline 2 s", "first 10 of 20"):
        low, high = mean("late", name, "halves")
        assert low - high > 30, name


def test_few_clients_a_round_get_the_most_out_of_the_same_bytes() -> None:
    one, five, hundred = (("few", name) for part, name in RUNS if part == "few")
    by_size = [one, five, ("lost", "all answer"), hundred]
    accuracies = [float(np.mean([run["accuracy"] for run in RUNS[each][:10]])) for each in by_size]
    assert accuracies == sorted(accuracies, reverse=True)
    sent = {mean(part, name, "megabytes_up") + mean(part, name, "megabytes_down") for part, name in by_size}
    assert max(sent) - min(sent) < 0.01


def test_the_lighter_model_is_first_at_85_and_fewer_of_its_runs_get_on_to_88() -> None:
    def reached(name: str, goal: int) -> list[float]:
        return [min([at[2] for at in run["curve"] if at[1] >= goal], default=np.inf) for run in RUNS["sizes", name]]

    models = ["logistic", "64 hidden", "2NN"]
    minutes = [np.mean(reached(name, 85)) for name in models]
    assert minutes == sorted(minutes)
    there = [np.isfinite(reached(name, 88)).sum() for name in models]
    assert there == sorted(there) and there[0] < there[-1]


def test_every_rate_lies_within_its_grid() -> None:
    for entry in STUDY["tuning"]:
        rates = [tried["rate"] for tried in entry["tried"]]
        assert not entry["at_edge"] and min(rates) < entry["best"] < max(rates)
