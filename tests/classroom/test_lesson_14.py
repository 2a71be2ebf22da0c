"""The exercises of lesson 14 meet right and wrong answers, and what its text says is in the stored study."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import classroom, data, learning
from course_lib.aggregation.robust import Krum, TrimmedMean
from course_lib.classroom import exercise, plots
from course_lib.classroom.lessons import lesson_14
from tests.classroom.explored import explored


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched_trimmed_mean(updates, f): ...
def untouched_success(predicted, labels, target): ...


@pytest.mark.parametrize(
    ("name", "answer"),
    [("14.q1", untouched_trimmed_mean), ("14.q2", untouched_success)],
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


def test_the_quiz_says_how_many_attackers_krum_stands() -> None:
    (question,) = (one for one in lesson_14.quiz if "2f + 2 < n" in one.text)
    assert [choice.text for choice in question.choices if choice.correct] == [str(Krum().stands(20))]


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


def paired(one: tuple[Any, ...], other: tuple[Any, ...], claim: Any = "better") -> learning.Finding:
    first, second = (of(*case) / 100 for case in (one, other))
    seeds = min(len(first), len(second))
    return learning.compare(first[:seeds].tolist(), second[:seeds].tolist(), claim, margin=0.01)


ATTACKS = ("label flip", "back door", "back door, boosted", "sign flip", "ALIE", "IPM", "min-max")


def test_most_comparisons_with_the_mean_cannot_be_told_and_what_can_is_what_the_text_says() -> None:
    single = {
        (skew, attack, rule): paired((rule, attack, 6, skew), ("mean", attack, 6, skew))
        for skew in ("IID", "skewed") for attack in ATTACKS for rule in OTHERS
    }  # fmt: skip
    over = learning.holm({"/".join(case): found for case, found in single.items()})
    told = [found.outcome for found in over.values()]
    assert len(told) == 84 and told.count("cannot tell") > 42
    assert told.count("cannot tell") > sum(found.outcome == "cannot tell" for found in single.values()) > 0
    assert {label.split("/")[1] for label, found in over.items() if found.outcome == "holds"} == {"sign flip"}
    worse = {label for label, found in over.items() if found.shown and found.shown.high < -1 and "/IPM/" in label}
    assert worse == {"IID/IPM/multi-Krum", "skewed/IPM/Krum", "skewed/IPM/median"}
    # "More than three times as wide": the intervals of five seeds with Holm's correction, and without.
    widths = [
        np.ptp([getattr(learning.interval([0.0, 1, 2, 3, 4], level), end) for end in ("low", "high")])
        for level in (over["IID/ALIE/Krum"].level, 0.95)
    ]
    assert 3 < widths[0] / widths[1] < 4


def test_krum_costs_most_and_the_median_and_the_norm_bound_are_dear_where_clients_are_skewed() -> None:
    rules = ["mean, all count alike", *OTHERS]
    price = learning.holm({
        f"{skew}/{rule}": paired(("mean", "no attacker", 0, skew), (rule, "no attacker", 0, skew))
        for skew in ("IID", "skewed") for rule in rules
    })  # fmt: skip
    assert all(price[f"skewed/{rule}"].outcome == "holds" for rule in ("Krum", "median", "norm bound"))
    dearer = learning.holm({
        f"{skew}/{rule}": paired((rule, "no attacker", 0, skew), ("Krum", "no attacker", 0, skew))
        for skew in ("IID", "skewed") for rule in rules if rule != "Krum"
    })  # fmt: skip
    assert {found.outcome for found in dearer.values()} == {"holds"}
    assert of("Krum", skew="skewed", key="worst").mean() < 1


def test_under_ipm_krum_picks_attackers_again_and_again() -> None:
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


def test_whether_one_sided_digits_leave_a_client_out_cannot_be_told() -> None:
    train, _ = data.load("digits", test_fraction=0.3)
    train, _ = data.hold_out(train, 100 / len(train))
    for rule in ("Krum", "multi-Krum"):
        ends: list[tuple[float, float]] = []
        for seed, own in enumerate(of(rule, skew="skewed", key="picked")):
            parts = data.partitions.dirichlet(train.y, 20, 0.3, seed)
            top = np.array([np.bincount(train.y[part].numpy()).max() / len(part) for part in parts])
            order = np.array(own)[top.argsort()]
            ends.append((float(order[:7].mean()), float(order[-7:].mean())))
        least, most = map(list, zip(*ends, strict=True))
        assert learning.compare(least, most, "better", unit="rounds").outcome == "cannot tell"


def test_alie_helps_krum_and_ipm_and_the_attack_against_krum_harm_it() -> None:
    found = learning.holm({
        f"{skew}/{attack}": paired(("Krum", attack, 6, skew), ("Krum", "no attacker", 0, skew))
        for skew in ("IID", "skewed") for attack in ("ALIE", "IPM", "against Krum")
    })  # fmt: skip
    for label, one in found.items():
        assert one.outcome == ("holds" if "ALIE" in label else "does not hold here"), label
        assert "ALIE" in label or (one.shown and one.shown.high < -1), label


def test_there_is_an_attack_that_leaves_every_other_rule_below_the_mean() -> None:
    assert all(of(rule, "IPM", 6).mean() < of("mean", "IPM", 6).mean() for rule in OTHERS)


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
