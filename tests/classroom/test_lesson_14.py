"""The exercises of lesson 14 meet right and wrong answers, and what its text says is in the stored study."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import classroom, data, learning
from course_lib.aggregation.robust import Krum, TrimmedMean
from course_lib.classroom import exercise, plots
from tests.classroom.explored import explored


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_trimmed_mean(updates, f): ...
def untouched_success(predicted, labels, target): ...
def untouched_most(n): ...


@pytest.mark.parametrize(
    ("name", "answer"),
    [("14.q1", untouched_trimmed_mean), ("14.q2", untouched_success), ("14.q3", untouched_most)],
)
def test_an_untouched_answer_is_not_called_wrong(name: str, answer: Any) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, answer)[0] == "untouched"


def by_length(updates: Any) -> Any:
    return updates[np.argsort(np.linalg.norm(updates, axis=1))]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda u, f: u.mean(0), "plain mean"),
        (lambda u, f: np.median(u, axis=0), "That is the median"),
        (lambda u, f: np.sort(u, axis=0)[: len(u) - f].mean(0), "largest only"),
        (lambda u, f: np.sort(u, axis=0)[f:].mean(0), "smallest only"),
        (lambda u, f: u[f : len(u) - f].mean(0), "first and the last client"),
        (lambda u, f: by_length(u)[f : len(u) - f].mean(0), "whole updates"),
        (lambda u, f: by_length(u)[: len(u) - f].mean(0), "one whole update"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].sum(0), "added what is left"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].sum(0) / len(u), "divided by all seven"),
        (lambda u, f: np.sort(u, axis=0)[2 * f : len(u) - 2 * f].mean(0), "two on each side"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(1), "down the columns"),
        (lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(), "down the columns"),
        (lambda u, f: np.sort(u, axis=0)[f:-f].mean(0) if f else np.zeros(2), "is empty"),
        (lambda u, f: u.max(0), "the trimmed mean is"),
        (3, "no function"),
    ],
)
def test_each_wrong_trimmed_mean_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda u, f: np.sort(u, axis=0)[f : len(u) - f].mean(axis=0),
        lambda u, f: [sum(sorted(column)[f : len(column) - f]) / (len(column) - 2 * f) for column in u.T],
        lambda u, f: TrimmedMean(f)(torch.from_numpy(u)),
        lambda u, f: torch.from_numpy(u).sort(dim=0).values[f : len(u) - f].mean(0),
    ],
    ids=["numpy", "plain Python", "the library", "torch"],
)
def test_the_right_trimmed_mean_may_be_written_in_several_ways(answer: Any) -> None:
    status, message = judge("14.q1", answer)
    assert status == "right" and "-50" in message, message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p, y, t: (p == t).mean(), "really show a 7"),
        (lambda p, y, t: ((p == t) & (y != t)).mean(), "divide by all ten"),
        (lambda p, y, t: (p != y)[y != t].mean(), "every mistake"),
        (lambda p, y, t: (p != y).mean(), "share of mistakes"),
        (lambda p, y, t: (p == t).sum() / (y != t).sum(), "below the line only"),
        (lambda p, y, t: ((p == t) & (y != t)).sum(), "That is how many"),
        (lambda p, y, t: 100 * (p == t)[y != t].mean(), "not per cent"),
        (lambda p, y, t: 0.9, "3/7"),
        (lambda p, y, t: (p == 7)[y != 7].mean(), "Right for target 7"),
        (lambda p, y, t: "0.43", "without quotation marks"),
    ],
)
def test_each_wrong_success_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda p, y, t: (p[y != t] == t).mean(),
        lambda p, y, t: sum(a == t for a, b in zip(p, y, strict=True) if b != t) / sum(b != t for b in y),
    ],
    ids=["numpy", "plain Python"],
)
def test_the_right_success_may_be_written_in_several_ways(answer: Any) -> None:
    assert judge("14.q2", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: n // 2, "That is half"),
        (lambda n: (n - 1) // 2, "suffices for the median"),
        (lambda n: (n - 2) // 2, "is f = 9 allowed"),
        (lambda n: (n - 2) / 2, "must be smaller"),
        (lambda n: (n - 3) / 2, "Round down"),
        (lambda n: n // 3, "Byzantine agreement"),
        (lambda n: (n - 3) // 4, "Bulyan"),
        (lambda n: 8, "Krum stands f = 9"),
    ],
)
def test_each_wrong_limit_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("14.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_limit_is_that_of_the_library() -> None:
    for answer in (
        lambda n: (n - 3) // 2,
        lambda n: max(f for f in range(n) if 2 * f + 2 < n),
        lambda n: Krum().stands(n),
    ):
        status, message = judge("14.q3", answer)
        assert status == "right", message


STUDY = classroom.stored("robustness")
ROWS = {(row["clients"], row["attack"], row["attackers"], row["rule"]): row for row in STUDY["rows"]}


def of(rule: str, attack: str = "no attacker", count: int = 0, skew: str = "IID", key: str = "accuracy") -> np.ndarray:
    return np.array(ROWS[skew, attack, count, rule][key])


def opens(rule: str, attack: str, count: int, skew: str) -> str:
    marked, unmarked = (of(rule, attack, count, skew, key) / 100 for key in ("success", "chance"))
    return learning.compare(marked.tolist(), unmarked.tolist(), "better", margin=0.1).outcome


OTHERS = ("norm bound", "FLTrust", "median", "Krum", "multi-Krum", "mixing, trimmed mean")


def test_a_lone_attacker_gets_past_the_mean_and_past_no_other_rule() -> None:
    for skew in ("IID", "skewed"):
        assert opens("mean", "back door, boosted", 1, skew) == "holds"
        assert all(opens(rule, "back door, boosted", 1, skew) != "holds" for rule in OTHERS)
    assert all(opens(rule, "back door, boosted", 1, "IID") == "does not hold here" for rule in OTHERS)
    # In some runs the model is wrecked and calls everything a 0.
    assert (of("mean", "back door, boosted", 1, key="chance") > 50).any()


def test_quiet_attackers_get_past_the_norm_bound_and_with_skewed_clients_past_multi_krum_and_mixing() -> None:
    assert [opens(rule, "back door", 6, "IID") for rule in ("mean", "norm bound", "median", "Krum")] == [
        "holds",
        "holds",
        "does not hold here",
        "does not hold here",
    ]
    found = {rule: opens(rule, "back door", 6, "skewed") for rule in OTHERS}
    assert {rule for rule, outcome in found.items() if outcome == "holds"} >= {"multi-Krum", "mixing, trimmed mean"}
    assert "does not hold here" not in found.values()


def test_crafted_updates_that_point_back_cost_the_mean_little_and_krum_picks_them() -> None:
    assert of("mean")[:5].mean() - of("mean", "IPM", 6).mean() < 10
    assert of("multi-Krum", "IPM", 6).mean() < 50 and of("Krum", "IPM", 6).mean() < 50
    order = [torch.randperm(20, generator=learning.keys.generator(seed, "who attacks"))[:6] for seed in range(5)]
    taken = [sum(own[k] for k in six) for own, six in zip(of("Krum", "IPM", 6, key="picked"), order, strict=True)]
    assert np.mean(taken) > 3


def test_more_images_make_longer_updates_and_those_are_left_out() -> None:
    train, _ = data.load("digits", test_fraction=0.3)
    train, _ = data.hold_out(train, 100 / len(train))
    for rule in ("Krum", "multi-Krum"):
        picked = of(rule, skew="skewed", key="picked")
        sizes = [list(map(len, data.partitions.dirichlet(train.y, 20, 0.3, seed))) for seed in range(10)]
        related = [float(np.corrcoef(size, own)[0, 1]) for size, own in zip(sizes, picked, strict=True)]
        assert learning.interval(related).high < 0


def test_alie_helps_krum_and_an_attacker_that_knows_krum_leaves_nothing_of_it() -> None:
    assert of("Krum", "ALIE", 6).mean() > of("Krum")[:5].mean() + 5
    assert of("Krum", "against Krum", 6).mean() < 10


def test_momentum_does_not_pay_in_ten_rounds() -> None:
    for attack, count in [("no attacker", 0), ("ALIE", 6), ("IPM", 6), ("min-max", 6)]:
        assert of("median, momentum", attack, count).mean() < of("median", attack, count).mean()


def test_tuning_gave_the_mean_twice_the_rate_of_the_mean_without_weights() -> None:
    rates = {(entry["clients"], entry["rule"]): entry["best"] for entry in STUDY["tuning"]}
    assert rates["IID", "mean"] == 2 * rates["IID", "mean, all count alike"]
    assert rates["skewed", "mean"] == rates["skewed", "mean, all count alike"]


def test_the_axes_stay_put_while_one_looks_at_attack_after_attack() -> None:
    names = ["mean", *OTHERS]

    def percent(*case: Any) -> learning.Interval:
        rule, attack, count, skew, key, seeds = case
        return learning.interval(of(rule, attack, count, skew, key)[:seeds].tolist(), within=(0, 100))

    (how_many,) = explored(
        "14", plots=plots, np=np, percent=percent, rules=names, skews=["IID", "skewed"], attacks=["label flip", "IPM"]
    )
    assert list(how_many.controls) == ["clients", "attack", "shown"]
    assert how_many.unsteady() == []
