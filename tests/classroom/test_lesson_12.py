import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import classroom, learning
from course_lib.classroom import exercise, plots
from course_lib.privacy import accounting, audit
from tests.classroom.explored import explored


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(*_: Any): ...


def clipped(gradients, bound):
    return gradients * (bound / gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)


def right_release(gradients, bound, multiplier, noise, expected):
    return (clipped(gradients, bound).sum(0) + multiplier * bound * noise) / expected


def by_a_loop(gradients, bound, multiplier, noise, expected):
    total = torch.zeros_like(noise)
    for own in gradients:
        size = float(own.norm())
        total += own if size <= bound else own * bound / size
    return (total + multiplier * bound * noise) / expected


@pytest.mark.parametrize("name", ["12.q1", "12.q2"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize("answer", [right_release, by_a_loop])
def test_a_private_mean_is_right_in_either_form(answer: Any) -> None:
    assert judge("12.q1", answer)[0] == "right"


def unscaled(gradients, bound, multiplier, noise, expected):
    return (gradients.sum(0) + multiplier * bound * noise) / expected


def clipped_sum(gradients, bound, multiplier, noise, expected):
    total = gradients.sum(0)
    return (total * (bound / total.norm()).clamp(max=1) + multiplier * bound * noise) / expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda g, b, m, n, e: (clipped(g, b).sum(0) + m * b * n) / len(g), "real size of the batch"),
        (lambda g, b, m, n, e: clipped(g, b).sum(0) / e, "no noise"),
        (lambda g, b, m, n, e: (clipped(g, b).sum(0) + n) / e, "multiplied by noise_multiplier"),
        (lambda g, b, m, n, e: (clipped(g, b).sum(0) + m * n) / e, "multiplied by `bound` as well"),
        (lambda g, b, m, n, e: (clipped(g, b).sum(0) + b * n) / e, "multiplied by noise_multiplier as well"),
        (lambda g, b, m, n, e: (clipped(g, 1.0).sum(0) + m * b * n) / e, "clipped to length 1"),
        (lambda g, b, m, n, e: clipped(g, b).sum(0) / e + m * b * n, "belongs to the sum"),
        (lambda g, b, m, n, e: clipped(g, b).sum(0) + m * b * n, "That is the sum"),
        (unscaled, "Nothing is clipped"),
        (clipped_sum, "You clipped the sum"),
        (lambda g, b, m, n, e: (g.clamp(-b, b).sum(0) + m * b * n) / e, "cut off single numbers"),
        (
            lambda g, b, m, n, e: (b * (g / g.norm(dim=1, keepdim=True)).sum(0) + m * b * n) / e,
            "stretched the short row",
        ),
        (lambda g, b, m, n, e: torch.zeros(2), "it should be"),
        (lambda g, b, m, n, e: torch.zeros(3), r"\(2,\), not \(3,\)"),
        (lambda g, b, m, n, e: 0.5, "not float"),
        (
            lambda g, b, m, n, e: right_release(g, b, m, n, e) if len(g) else torch.zeros(2),
            "batch without examples",
        ),
        (
            lambda g, b, m, n, e: (
                ((g * (b / g.norm(dim=1, keepdim=True)).clamp(max=1)).sum(0) + m * b * n) / e
                if g.norm()
                else (g * (b / g.norm(dim=1, keepdim=True))).sum(0) + m * b * n / e
            ),
            "not a number",
        ),
    ],
)
def test_each_wrong_private_mean_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("12.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def right_rounds(budget, spent):
    done = 0
    while spent(done + 1) <= budget:
        done += 1
    return done


@pytest.mark.parametrize(
    "answer", [right_rounds, lambda budget, spent: next(r for r in range(1000) if spent(r + 1) > budget)]
)
def test_the_last_round_within_the_budget_is_right_in_either_form(answer: Any) -> None:
    assert judge("12.q2", answer)[0] == "right"


def summed(budget, spent):
    done, total = 0, 0.0
    while total + spent(done + 1) <= budget:
        done += 1
        total += spent(done)
    return done


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b, s: right_rounds(b, s) + 1, "already exceeded"),
        (lambda b, s: int(b // s(1)), "as if each round cost as much as the first"),
        (summed, "do not add them up"),
        (lambda b, s: right_rounds(b, s) - 1, "still within the budget"),
        (lambda b, s: 9, "so it is 15"),
        (lambda b, s: max(1, right_rounds(b, s)), "not even the first round"),
        (lambda b, s: next(r for r in range(1000) if s(r + 1) >= b), "spending it all"),
        (lambda b, s: "15", "without quotation marks"),
    ],
)
def test_each_wrong_number_of_rounds_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("12.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_axes_of_epsilon_stay_put_while_noise_rate_and_steps_change() -> None:
    (view,) = explored("12", plots=plots, np=np, accounting=accounting)
    assert list(view.controls) == ["noise", "sample_rate", "steps"]
    assert view.unsteady() == []


def test_what_is_said_of_audits_and_attacks_is_in_the_study() -> None:
    audited = classroom.stored("private_audit")
    for one in audited["audits"]:
        step, final = (one[seen]["lower bound"] for seen in ("every step", "final weights"))
        assert final < step < 0.6 * one["claimed"]
    aucs = {way: found["LiRA"]["auc"] for way, found in audited["membership"].items()}
    at_one = {way: np.mean(found["LiRA"]["found at 1%"]) for way, found in audited["membership"].items()}
    assert at_one["plain"] > 0.1 and at_one["private"] < 0.02  # guessing finds 1%
    assert audited["membership"]["plain"]["LiRA"]["roc"][0] > 0.05  # at two false alarms in a thousand
    by_loss = audited["membership"]["plain"]["loss threshold"]
    assert (
        np.mean(by_loss["auc"]) - 0.5 < 0.4 * (np.mean(aucs["plain"]) - 0.5) and np.mean(by_loss["found at 1%"]) < 0.02
    )
    accuracy = {way: np.mean(found["accuracy"]) for way, found in audited["membership"].items()}
    assert accuracy["plain"] - accuracy["private"] > 0.2
    assert abs(accuracy["stopped early"] - accuracy["private"]) < 0.01
    gap = learning.compare(aucs["stopped early"], aucs["private"], "equal")
    assert gap.outcome == learning.CANNOT_TELL and np.mean(aucs["stopped early"]) - np.mean(aucs["private"]) < 0.01
    assert all(np.mean(aucs[way]) < 0.56 for way in ("private", "stopped early"))  # guessing is right of half


def test_clients_that_add_their_own_noise_pay_most_and_one_owner_least_and_less_epsilon_costs_more() -> None:
    study = classroom.stored("private_accuracy")
    accuracy = {(row["way"], row["epsilon"]): np.array(row["accuracy"]) for row in study["rows"]}
    cost = {at: (accuracy[at[0], None] - own).tolist() for at, own in accuracy.items() if at[1]}
    ranks = {
        f"{dearer}, {cheaper}, {epsilon}": learning.compare(cost[dearer, epsilon], cost[cheaper, epsilon], "better")
        for dearer, cheaper in (("clients", "users"), ("users", "central"))
        for epsilon in (1.0, 3.0, 8.0)
    }
    steps = {
        f"{way}, {less}": learning.compare(cost[way, less], cost[way, more], "better")
        for way in study["ways"]
        for less, more in ((1.0, 3.0), (3.0, 8.0))
    }
    for findings in (ranks, steps):
        assert {found.outcome for found in learning.holm(findings).values()} == {"holds"}
    assert not any(row["at_edge"] for row in study["rows"])
    for taken in study["milliseconds"].values():
        assert np.median(taken["ours"]) < min(np.median(taken["opacus"]), np.median(taken["ghost"]))


def test_the_forgetful_accountant_is_caught_with_the_confidence_that_three_tries_deserve_too() -> None:
    audited = classroom.stored("private_audit")
    assert {one["tries"] for one in audited["audits"]} == {19_200}
    caught = [one for one in audited["audits"] if one["every step"]["lower bound"] > one["claimed for one round"]]
    assert caught
    for one in caught:
        found, alarms = (_counted(one["every step"][share], one["tries"] // 4) for share in ("found", "false alarms"))
        risk = 0.05 / len(audited["audits"]) / 2
        low, _ = audit.clopper_pearson(*found, risk)
        _, high = audit.clopper_pearson(*alarms, risk)
        assert np.log((low - audited["delta"]) / high) > one["claimed for one round"]


def _counted(share: float, about: int) -> tuple[int, int]:
    """Return the hits and tries of which a share was stored: the tries nearest to `about` that give whole hits."""
    fits = [tries for tries in range(about - 150, about + 150) if abs(share * tries - round(share * tries)) < 1e-6]
    tries = min(fits, key=lambda tries: abs(tries - about))
    return round(share * tries), tries


def test_twice_the_noise_lowers_epsilon_most_of_the_three_things_to_look_for() -> None:
    start, noise, rate, steps = (
        accounting.spent(*at, 1e-5, "rdp").epsilon
        for at in ((1.0, 0.05, 1000), (2.0, 0.05, 1000), (1.0, 0.025, 1000), (1.0, 0.05, 250))
    )
    assert noise < rate < start / 2 and noise < steps < start / 2
