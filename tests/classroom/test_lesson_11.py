import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import data, learning, models, plans, rounds
from course_lib.adversary import leakage
from course_lib.classroom import exercise, plots, stored
from course_lib.learning import compare
from tests.classroom.explored import ROOT, explored
from tools import lessons


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


@pytest.fixture(scope="module")
def train() -> data.Dataset:
    return data.load("mnist5k")[0]


def source(title: str) -> str:
    """The one code cell of the lesson that says `title`."""
    (lesson,) = lessons.find(ROOT, ["11"])
    (cell,) = [cell for cell in lessons.master(lesson).cells if cell.cell_type == "code" and title in cell.source]
    return cell.source


def test_the_explorers_axes_stay_put_whatever_the_attacks_find(train: data.Dataset) -> None:
    found = np.random.default_rng(0)

    def attack(plan: Any, held: list[int], **_: Any) -> tuple[Any, Any, None]:
        assert len(set(held)) == len(held)
        rows = torch.tensor(found.random((int(found.integers(3)), 784)), dtype=torch.float32)
        return rows, torch.tensor(found.random((len(held), 1, 28, 28)), dtype=torch.float32), None

    names = {"torch": torch, "leakage": leakage, "train": train, "plots": plots, "attack": attack}
    gallery = source("def gallery(")
    exec(gallery[gallery.index("def gallery(") :], names)
    (steer,) = explored("11", defences={"none": None, "noise 30 x": None}, **names)
    assert steer.controls["image"] == (0, 3999, 1)
    assert steer.units == {"held": "images"}
    assert steer.unsteady() == []


def test_one_step_on_one_image_is_shorter_than_the_clip_and_as_long_as_the_lesson_says(train: data.Dataset) -> None:
    plan = plans.fedavg(1, 1.0, 1, batch_size=None)
    lengths = []
    for seed in range(6):
        held = np.random.default_rng([11, seed]).permutation(len(train))[:2]
        run = rounds.fit(models.mlp(), train, np.split(held, 2), plan, seed=seed, keep_payloads=True)
        lengths.append(float(leakage.captured(run, 1).norm()))
    assert (round(min(lengths), 2), round(max(lengths), 2)) == (0.18, 0.26)


def test_even_where_noise_stops_both_attacks_the_label_is_read_each_time() -> None:
    right = {row["setting"]: [run["labels right"] for run in row["runs"]] for row in stored("leakage")["attacks"]}
    assert right["noise 30"] == [1] * 6
    assert right["secure aggregation"] == [0] * 6


def test_whether_more_than_the_digit_is_read_is_clear_for_8_images_and_not_for_64_or_noise_of_10(
    train: data.Dataset,
) -> None:
    runs = {row["setting"]: row["runs"] for row in stored("leakage")["attacks"]}

    def found(setting: str) -> list[float]:
        return [run["search"]["ssim"] for run in runs[setting]]

    names: dict[str, Any] = {
        "stored": stored("leakage"), "train": train, "np": np, "torch": torch, "leakage": leakage, "learning": learning,
        "best": lambda setting: "search", "of": lambda setting, attack: found(setting),
        "read": lambda own, guess: compare(own, guess, "better", margin=0.1, unit="SSIM"),
    }  # fmt: skip
    exec(source("What the labels alone give").rpartition("\ntable = ")[0], names)
    assert {setting: finding.outcome for setting, finding in names["clear"].items()} == {
        "images 8": "holds", "images 64": "cannot tell", "noise 3": "holds", "noise 10": "cannot tell",
    }  # fmt: skip


def test_the_lesson_corrects_for_as_many_settings_as_it_says() -> None:
    assert len(stored("leakage")["attacks"]) == 29
