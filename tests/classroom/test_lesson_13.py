import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from course_lib import classroom, learning
from course_lib.classroom import exercise, plots
from course_lib.privacy.secure_aggregation import AbortedError, Quantiser, secure_sum
from tests.classroom.explored import explored

RING = 2**32


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(*numbers): ...


def right_mend(lost: int, masks: dict[int, int]) -> int:
    return sum(mask if k < lost else -mask for k, mask in masks.items()) % RING


def numpy_mend(lost: int, masks: dict[int, int]) -> np.uint32:
    total = np.zeros(1, np.uint32)
    for k, mask in masks.items():
        total = total + np.uint32(mask) if k < lost else total - np.uint32(mask)
    return total[0]


def right_threshold(clients: int, lost: int, colluding: int) -> int:
    for threshold in range(clients + 1):
        if 2 * threshold > clients and threshold > colluding and threshold <= clients - lost:
            return threshold
    return 0


def right_levels(clients: int, largest_weight: int) -> int:
    return (RING - 1) // (clients * largest_weight)


EXERCISES = ["13.q1", "13.q2", "13.q3"]


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda lost, m: sum(v if k > lost else -v for k, v in m.items()) % RING, "already"),
        (lambda lost, m: sum(v if k < lost else -v for k, v in m.items()), "modulo 2\\^32"),
        (lambda lost, m: sum(m.values()), "added every mask"),
        (lambda lost, m: sum(m.values()) % RING, "added every mask"),
        (lambda lost, m: -sum(m.values()) % RING, "subtracted every mask"),
        (lambda lost, m: 0, "you get 0"),
        (lambda lost, m: (m[0] + m[1] - m[3] - m[4]) % RING, "KeyError"),
        (lambda lost, m: sum(v if k < 2 else -v for k, v in m.items()) % RING, "For lost=0"),
    ],
)
def test_each_wrong_mend_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("13.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize("answer", [right_mend, numpy_mend])
def test_any_way_to_sign_the_masks_is_right(answer: Any) -> None:
    assert judge("13.q1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n, lost, c: max(n // 2 + 1, c), "six open a secret"),
        (lambda n, lost, c: n - lost, "largest threshold"),
        (lambda n, lost, c: 0, "There is one"),
        (lambda n, lost, c: n, "need 7"),
        (lambda n, lost, c: max(n // 2 + 1, c + 1), "only 6 are left"),
        (lambda n, lost, c: c + 1 if c + 1 <= n - lost else 0, "above half"),
        (lambda n, lost, c: max(n / 2 + 1, c + 1), "above half of nine"),
        (lambda n, lost, c: t if (t := max(n // 2 + 1, c + 1)) < n - lost else 0, "7 are enough"),
        (lambda n, lost, c: t if (t := max((n + 1) // 2, c + 1)) <= n - lost else 0, "above half"),
    ],
)
def test_each_wrong_threshold_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("13.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize("answer", [right_threshold, lambda n, lost, c: right_threshold(n, lost, c)])
def test_a_threshold_may_be_searched_or_computed(answer: Any) -> None:
    assert judge("13.q2", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n, w: (RING - 1) // n, "left out the weight"),
        (lambda n, w: (RING - 1) // w, "left out the clients"),
        (lambda n, w: RING - 1, "room for one number"),
        (lambda n, w: (2**31 - 1) // (n * w), "2\\^31"),
        (lambda n, w: (RING - 1) / (n * w), "divide with"),
        (lambda n, w: RING / (n * w), "divide with"),
        (lambda n, w: -(-RING // (n * w)), "rounded up"),
        (lambda n, w: RING // (n * w), "2\\^32 itself"),
        (lambda n, w: 5, "you get 5"),
        (lambda n, w: (RING - 1) // 6000, "For 16 clients"),
    ],
)
def test_each_wrong_number_of_levels_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("13.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize("answer", [right_levels, lambda n, w: (RING - 1) // n // w])
def test_levels_are_right_in_either_order(answer: Any) -> None:
    assert judge("13.q3", answer)[0] == "right"


def test_levels_and_thresholds_are_those_that_the_library_takes() -> None:
    assert right_levels(12, 317) == Quantiser.finest(1.0, 12, 317).levels
    vectors = {k: torch.ones(2) for k in range(10)}
    lost = dict.fromkeys(range(3), "share")
    assert secure_sum(vectors, Quantiser(2.0), threshold=7, drop_after=lost).total[0] == pytest.approx(7, abs=1e-3)
    with pytest.raises(AbortedError):
        secure_sum(vectors, Quantiser(2.0), threshold=8, drop_after=lost)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_call_in_place_of_the_function_is_named(name: str) -> None:
    assert "pass the function itself" in judge(name, 0.5)[1]


def test_the_axes_stay_put_and_no_bar_leaves_them() -> None:
    (bill,) = explored("13", plots=plots)
    assert list(bill.controls) == ["clients", "lost", "threshold"]
    assert bill.unsteady() == []
    drawn = bill.fn(clients=200, lost=0, threshold=67).figure.axes[0]
    assert max(bar.get_x() + bar.get_width() for bar in drawn.patches) <= 50


@pytest.mark.parametrize("clients", [3, 7])
def test_the_explorer_counts_the_bytes_that_are_sent(clients: int) -> None:
    (bill,) = explored("13", plots=plots)
    drawn = bill.fn(clients=clients, lost=0, threshold=51).figure.axes[0]
    told = sum(bar.get_width() for bar in drawn.patches) * 1000
    sent = secure_sum({k: torch.zeros(4) for k in range(clients)}, Quantiser(1.0)).bytes
    assert clients * told == pytest.approx(sum(sent.values()) - sent["masked vector"])


def test_the_explorer_says_who_is_left_and_whether_that_is_enough() -> None:
    (bill,) = explored("13", plots=plots)
    for lost, threshold, said in [
        (30, 67, "14 of 20 left, 14 needed: sum of 14"),
        (35, 67, "13 of 20 left, 14 needed: no sum"),
        (45, 51, "11 of 20 left, 11 needed: sum of 11"),
        (0, 100, "20 of 20 left, 20 needed: sum of 20"),
        (5, 100, "19 of 20 left, 20 needed: no sum"),
    ]:
        assert said in bill.fn(clients=20, lost=lost, threshold=threshold).summary


@pytest.fixture(scope="module")
def runs() -> dict[str, list[dict[str, float]]]:
    return {row["name"]: row["runs"] for row in classroom.stored("masked_rounds")["rows"]}


def accuracy(runs: dict[str, list[dict[str, float]]], name: str) -> list[float]:
    return [run["accuracy"] / 100 for run in runs[name]]


def test_masks_alone_cost_nothing_and_rounds_without_a_sum_do(runs: dict[str, list[dict[str, float]]]) -> None:
    apart = np.abs(np.subtract(accuracy(runs, "masked"), accuracy(runs, "plain")))
    assert apart.max() <= 0.0021  # two images of a thousand
    assert sum(run["skipped"] for run in runs["masked"]) == 0
    lost, low = runs["masked, 30% lost"], runs["masked, 30% lost, threshold 7"]
    assert sum(run["skipped"] for run in lost) > 2 * sum(run["skipped"] for run in low)
    dearer = learning.compare(
        accuracy(runs, "plain, 30% lost"), accuracy(runs, "masked, 30% lost"), "better", margin=0.01
    )
    assert dearer.outcome == "holds"
    pairs = {k: k.replace("masked", "plain").removesuffix(", threshold 7") for k in runs if k.startswith("masked")}
    pairs = {k: base if base in runs else "plain" for k, base in pairs.items()}
    judged = learning.holm(
        {k: learning.compare(accuracy(runs, k), accuracy(runs, base), "no worse") for k, base in pairs.items()}
    )
    assert {k: found.outcome for k, found in judged.items()} == {
        "masked": "holds", "masked, 10% lost": "holds", "masked, 30% lost": "does not hold here",
        "masked, 30% lost, threshold 7": "cannot tell", "masked, bound 0.03": "cannot tell",
        "masked, bound 0.003": "does not hold here",
    }  # fmt: skip


def test_few_bytes_are_added_and_they_and_the_seconds_grow_with_the_pairs() -> None:
    cost = {(row["clients"], row["contender"]): row for row in classroom.stored("secure_aggregation")["rows"]}
    assert cost[200, "ours"]["bytes"] < 1.15 * cost[200, "plain"]["bytes"]
    grows = cost[200, "ours"]["seconds"] / cost[20, "ours"]["seconds"]
    assert 70 < grows < 130
    added = {n: cost[n, "ours"]["bytes"] - cost[n, "plain"]["bytes"] for n in (20, 200)}
    assert 90 < added[200] / added[20] < 110
    assert cost[50, "ours"]["bytes"] / cost[50, "plain"]["bytes"] == pytest.approx(1.027, abs=0.001)


def test_a_message_is_luck_and_an_update_leans_towards_its_clients_digits() -> None:
    path = Path(__file__).parents[2] / "notebooks/13_secure_aggregation.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    said = "\n".join(str(o.get("data", {}).get("text/plain", "")) for c in cells for o in c.get("outputs", []))
    (luck,) = re.findall(r"random numbers, which have ([\d.]+)%", said)
    assert 0.4 <= float(luck) <= 0.6  # half of the one per cent that counts as nothing
    ((gain, half),) = re.findall(r"difference \+([\d.]+) ± ([\d.]+) \(better; 6 clients\)", said)
    assert float(gain) > float(half)
