import math
import re
from typing import Any

import pytest
import torch

from course_lib.classroom import exercise, stored
from course_lib.learning import compare


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(*given): ...


@pytest.mark.parametrize("name", ["11.q1", "11.q2", "11.q3"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


def mse(image: torch.Tensor, truth: torch.Tensor) -> float:
    return float(((image - truth) ** 2).mean())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda a, b: 10 * math.log10(1 / mse(a, b) ** 0.5), "root of the error"),
        (lambda a, b: 20 * math.log10(1 / mse(a, b)), "it is 10"),
        (lambda a, b: 10 * math.log10(mse(a, b)), "sign is wrong"),
        (lambda a, b: 10 * math.log(1 / mse(a, b)), "natural logarithm. Take"),
        (lambda a, b: math.log(1 / mse(a, b)), "without the 10"),
        (lambda a, b: math.log10(1 / mse(a, b)), "bels"),
        (lambda a, b: 10 * math.log10(1 / float(((a - b) ** 2).sum())), "Take their mean"),
        (lambda a, b: 10 * math.log10(1 / float((a - b).abs().mean())), "absolute errors"),
        (lambda a, b: 7.0, "you return 7.00"),
        (lambda a, b: "16", "is text"),
        (lambda a, b: a[99], "IndexError"),
    ],
)
def test_each_wrong_psnr_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("11.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: 10 * torch.log10(1 / ((a - b) ** 2).mean()),
        lambda a, b: -10 * math.log10(mse(a, b)),
        lambda a, b: 20 * math.log10(1 / mse(a, b) ** 0.5),
    ],
)
def test_any_way_to_a_psnr_is_right(answer: Any) -> None:
    assert judge("11.q1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b, n: [round(-n * v) for v in b.tolist()], "left out the predicted share"),
        (lambda b, n: [int(v < 0) for v in b.tolist()], "How many images has each"),
        (lambda b, n: [0.2 - v for v in b.tolist()], "Multiply by the number"),
        (lambda b, n: [round(n * (v - 0.2)) for v in b.tolist()], "sign is wrong"),
        (lambda b, n: [round(n * (0.1 - v)) for v in b.tolist()], "five classes here"),
        (lambda b, n: (n * (0.2 - b)).tolist(), "to the nearest"),
        (lambda b, n: [0] * 4, "the counts are"),
        (lambda b, n: [int(n * (0.2 - v) + 1e-3) for v in b.tolist()], "to the nearest"),
        (lambda b, n: b[9], "IndexError"),
    ],
)
def test_each_wrong_count_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("11.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "answer",
    [
        lambda b, n: [round(n * (1 / len(b) - v)) for v in b.tolist()],
        lambda b, n: (n / len(b) - n * b).round().int().tolist(),
        lambda b, n: (n * (1 / len(b) - b)).round(),
    ],
)
def test_any_way_to_count_labels_is_right(answer: Any) -> None:
    assert judge("11.q2", answer)[0] == "right"


def stops(rows: Any) -> list[str]:
    return [name for name, row in rows.items() if row[0] <= row[1] + 0.1]


def by_both(rows: Any) -> Any:
    return max(stops(rows), key=lambda name: (rows[name][2], -rows[name][3]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda r: max(r, key=lambda n: r[n][2]), "stops nothing"),
        (lambda r: max(r, key=lambda n: (r[n][2], -r[n][3])), "8 bits leave"),
        (lambda r: min(stops(r), key=lambda n: r[n][3]), "fewest bytes. Accuracy comes first"),
        (lambda r: max(stops(r), key=lambda n: r[n][2]), "Among equals"),
        (lambda r: "much noise", "more accurate ones"),
        (lambda r: "a little noise", "leaves 0.6"),
        (stops, "Return the name of one"),
        (lambda r: 5, "you return 5"),
        (lambda r: by_both({n: row for n, row in r.items() if row[0] < row[1] + 0.05}), "At most 0.1"),
        (lambda r: max((n for n in r if r[n][0] < 0.4), key=lambda n: (r[n][2], -r[n][3])), "At most 0.1"),
        (lambda r: r["nobody"], "KeyError"),
    ],
)
def test_each_wrong_setting_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("11.q3", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def sorted_way(rows: Any) -> Any:
    names = sorted(stops(rows), key=lambda name: (-rows[name][2], rows[name][3]))
    return names[0] if names else None


@pytest.mark.parametrize("answer", [by_both, sorted_way])
def test_any_way_to_the_cheapest_setting_is_right(answer: Any) -> None:
    assert judge("11.q3", answer)[0] == "right"


def outcome(setting: str, attack: str) -> str:
    [runs] = [row["runs"] for row in stored("leakage")["attacks"] if row["setting"] == setting]
    found, guess = ([run[each]["ssim"] for run in runs] for each in (attack, "guess"))
    return compare(found, guess, "better", margin=0.1, unit="SSIM").outcome


@pytest.mark.parametrize(
    ("setting", "attack", "read"),
    [
        ("images 1", "division", True),
        ("steps 50", "division", True),  # "Division does not mind local steps"
        ("8 images, 5 epochs", "search", True),
        ("8 bits", "search", True),  # "8 bits hide nothing that matters"
        ("secure aggregation", "search", False),
        ("the sum of 2", "search", True),  # "the sum still tells what it tells"
        ("LeNet, tanh and mean pooling", "search", True),
        ("LeNet", "search", True),  # "even there the digit's pattern shows"
        ("noise 10", "search", True),  # "an eye reads it"
        ("noise 30", "search", False),
        ("the sum of 50", "search", True),
    ],
)
def test_what_the_lesson_says_in_words_is_what_the_study_found(setting: str, attack: str, read: bool) -> None:
    assert outcome(setting, attack) == ("holds" if read else "does not hold here")


def test_pixel_by_pixel_what_is_found_under_ten_times_the_noise_is_not_1_db_nearer_than_the_guess() -> None:
    [runs] = [row["runs"] for row in stored("leakage")["attacks"] if row["setting"] == "noise 10"]
    found, guess = ([run[each]["psnr"] for run in runs] for each in ("search", "guess"))
    assert compare(found, guess, "better", margin=1, unit="dB").outcome == "does not hold here"
