"""What is learnt at every stop of the dial: three kinds of data, and all of MNIST for the central stops."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from course_lib import data, models
from course_lib.data import Dataset
from course_lib.models import ModelSpec

Skew = Literal["IID", "Dirichlet 1", "Dirichlet 0.1"]

PARTICIPANTS, BATCH = 20, 10
HELD_OUT = 0.2  # of the training data, to tune on
_WINDOWS, _TEST_WINDOWS = 84, 42  # of each of the keyboard's 60 authors: 5,040 and 2,520
_PAYMENTS = {"train": (0, 10_000), "tune": (1, 10_000), "test": (2, 16_000)}  # seed of the generator, and how many


@dataclass(frozen=True)
class Task:
    """One data set with its model. Every stop computes `passes` x the training data gradients, in batches of 10.

    `score`: what rates are tuned by and stops compared by; where the class that matters is rare, accuracy would praise a model that never
    names it. `multiplications`: of one example's way forward through the model, for the simulated clock. `rounds_a_pass`: how often clients
    talk while they go through their data once. `dealt_by`: what Dirichlet's law deals unevenly. `sample_rate`: the share of its examples that is in
    a client's batch where steps hide single examples: larger batches drown the noise, but there are fewer of them. `chance`: the score of a guess.
    """

    key: str
    title: str
    model: ModelSpec
    passes: int
    multiplications: int
    score: Literal["accuracy", "pr_auc"] = "accuracy"
    rounds_a_pass: int = 1
    dealt_by: str = "digit"
    sample_rate: float = 0.2
    chance: float = 0.1


TASKS = {
    task.key: task
    for task in (
        Task("images", "images: 5,000 MNIST digits", models.mlp((64,)), 20, 50_816),
        Task(
            "tabular", "table: payments, 1% of them fraud", models.mlp((32,)), 8, 576, score="pr_auc", dealt_by="bank", sample_rate=0.05, chance=0.01
        ),
        Task("text", "text: a keyboard's next character", models.causal(), 10, 35_136, dealt_by="author", sample_rate=0.1, chance=1 / 37),
        Task("mnist", "all of MNIST: 60,000 digits", models.mlp((64,)), 2, 50_816, rounds_a_pass=15),
        Task("deep", "5,000 MNIST digits, a convolutional network", models.lenet(), 10, 416_520),
    )
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Material:
    """What a run trains on and is judged on; `by: (n,)` and `judge_by`: the class or the author of each example."""

    train: Dataset
    judge: Dataset
    by: np.ndarray
    judge_by: np.ndarray


@cache
def material(key: str, tuning: bool) -> Material:
    """Return the data of a task: with `tuning` what rates are judged by, which is never the test data."""
    if key == "text":
        return _keyboard(tuning)
    if key == "tabular":
        (train, by), (judge, judge_by) = (
            _payments(*_PAYMENTS[part]) for part in ("train", "tune" if tuning else "test")
        )
        return Material(train, judge, by, judge_by)
    train, judge = data.load("mnist" if key == "mnist" else "mnist5k")
    if tuning:
        train, judge = data.hold_out(train, HELD_OUT)
    return Material(train, judge, train.y.numpy(), judge.y.numpy())


def _spread(examples: int, most: int) -> np.ndarray:
    """Return at most so many positions, evenly spread over all."""
    return np.unique(np.linspace(0, examples - 1, min(most, examples)).astype(int))


def _payments(seed: int, most: int) -> tuple[Dataset, np.ndarray]:
    """Return generated payments with the bank of each; the banks are the same under every seed, the payments are not."""
    natural = data.load_by_client("payments", seed=seed)
    bank = np.empty(len(natural.train), dtype=int)
    for number, own in enumerate(natural.clients):
        bank[own] = number
    chosen = _spread(len(bank), most)
    return natural.train.subset(chosen), bank[chosen]


def _keyboard(tuning: bool) -> Material:
    """The keyboard's windows, as many of each author; tuning judges by the last fifth of each author's, which overlaps with no other."""
    natural = data.load_by_client("keyboard")
    picked = [[own[_spread(len(own), _WINDOWS)] for own in natural.clients],
              [own[_spread(len(own), _TEST_WINDOWS)] for own in natural.local_tests]]  # fmt: skip
    sets = [natural.train, natural.test]
    if tuning:
        cuts = [round((1 - HELD_OUT) * len(own)) for own in picked[0]]
        picked = [[own[:cut] for own, cut in zip(picked[0], cuts, strict=True)],
                  [own[cut:] for own, cut in zip(picked[0], cuts, strict=True)]]  # fmt: skip
        sets = [natural.train, natural.train]
    (train, by), (judge, judge_by) = (
        (some.subset(np.concatenate(own)), np.repeat(np.arange(len(own)), [len(each) for each in own]))
        for some, own in zip(sets, picked, strict=True)
    )
    return Material(train, judge, by, judge_by)


def owners(
    of: Material, skew: Skew, participants: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:  # fmt: skip
    """Return what each owner holds, of the training data and of the data that is judged by: alike, or by Dirichlet's law."""
    if skew == "IID":
        both = (of.by, of.judge_by)
        dealt = [data.partitions.iid(labels, participants, seed) for labels in both]
        return dealt[0], dealt[1]
    alpha = float(skew.removeprefix("Dirichlet "))
    return data.partitions.dirichlet(of.by, participants, alpha, seed, test_y=of.judge_by)
