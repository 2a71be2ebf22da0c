"""The cases that introductions name, with their owners' records. How each is trained is in `study.ways`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from course_lib import models
from course_lib.data import Dataset, NaturalClients, hold_out, load_by_client
from course_lib.data.cases import hospitals
from course_lib.models import ModelSpec

Way = Literal[
    "DML", "FL", "FL, secure sum", "FL, fine-tuned", "FL, epsilon 3", "FL, attacked", "FL, median, attacked", "hybrid", "gossip", "alone"
]  # fmt: skip
# These are FL and nothing else as far as anybody knows beforehand: they have its rate.
AS_FL: tuple[Way, ...] = ("FL, secure sum", "FL, attacked")
# Not a case of its own: what it is compared with is another model on the same data.
COMPARISONS = ("driving, shallow model",)

_TEST = 0.4  # share of the records
_RESERVED = 5  # one real record in so many is kept for tuning


@dataclass(frozen=True)
class Case:
    """One case. `metric`: what an owner's test is judged by. `records`: what one is called; `fields`: how many numbers each holds of its person.

    `real`: the records are real, so that other seeds split the same ones anew; otherwise each seed draws new ones.
    `owners`, `most`: take only so many owners, and records of each.
    """

    name: str
    data: str
    model: ModelSpec
    passes: int
    metric: Literal["accuracy", "pr_auc"] = "accuracy"
    owner: str = "owner"
    records: str = "records"
    fields: int = 1
    real: bool = False
    owners: int | None = None
    most: int | None = None
    batch: int = 10

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways that are measured. What takes longest is left out: attacks and private steps in the three slowest cases, and secure sums
        over 120 people, each of whom agrees on a key with each other."""
        if self.name in COMPARISONS:
            return "DML", "FL"
        found: tuple[Way, ...] = ("DML", "FL", "alone", "hybrid", "FL, fine-tuned", "gossip")
        if self.data != "ratings":
            found += ("FL, secure sum",)
        if self.data not in ("road_signs", "ratings", "keyboard"):
            found += ("FL, epsilon 3", "FL, attacked", "FL, median, attacked")
        return found


CASES = {
    case.name: case
    for case in (
        Case("payment fraud", "payments", models.mlp((32,)), 8, "pr_auc", "bank", "payments", 16),
        Case("forecasting", "markets", models.mlp((32,)), 8, owner="market", records="days", fields=15),
        Case("diagnosis", "hospitals", models.mlp((16,)), 20, owner="hospital", records="patients", fields=31, real=True),
        Case("heart disease", "heart_disease", models.mlp((16,)), 20, owner="hospital", records="patients", fields=14, real=True),
        Case("keyboard", "keyboard", models.causal(), 8, owner="keyboard", records="keys pressed", fields=17, real=True, owners=20, most=600),
        Case("voice", "voices", models.mlp((64,)), 15, owner="speaker", records="words spoken", fields=256),
        Case("IoT sensors", "sensors", models.mlp((64,)), 15, owner="wearer", records="windows of two seconds", fields=96),
        Case("recommendations", "ratings", models.taste(), 15, owner="person", records="ratings", fields=60),
        Case("driving", "road_signs", models.lenet(), 15, owner="car", records="pictures", fields=768),
        Case("driving, shallow model", "road_signs", models.mlp((64,)), 15, owner="car", records="pictures", fields=768),
    )
}  # fmt: skip


def deal(case: Case, seed: int, tuning: bool = False) -> NaturalClients:
    """Return the case's owners with their training and test records.

    Rates are tuned on records that no result is measured on: on those of other seeds where they are generated, on a fifth of
    the real ones, and on other people's keyboards.
    """
    if case.data == "keyboard":
        first = 20 if tuning else 0
        return _some(load_by_client("keyboard", seed=seed, test_fraction=_TEST), range(first, first + 20), case.most)
    if not case.real:
        return load_by_client(case.data, seed=seed, test_fraction=_TEST)
    return _without_reserve(_whole(case, seed), seed, tuning)


def _whole(case: Case, seed: int) -> dict[str, Dataset]:
    if case.data == "hospitals":
        return hospitals.hospitals(seed)
    found = load_by_client(case.data, seed=0)
    return {
        name: _joined(found.train.subset(own), found.test.subset(tests))
        for name, own, tests in zip(found.names, found.clients, found.local_tests, strict=True)
    }


def _without_reserve(whole: dict[str, Dataset], seed: int, tuning: bool) -> NaturalClients:
    parts = {}
    for name, own in whole.items():
        kept = _kept_for_tuning(own.x)
        train, test = hold_out(own.subset(~kept), _TEST, seed)
        parts[name] = (train, own.subset(kept) if tuning else test)
    return NaturalClients.of(parts)


def _kept_for_tuning(x: Tensor) -> Tensor:
    """Say of each record whether it is reserved: by what is in it, so that it is the same ones whoever holds them."""
    scattered = x.double() @ torch.sqrt(torch.arange(2, x.shape[1] + 2, dtype=torch.float64))
    return (1000 * scattered).frac().abs() < 1 / _RESERVED


def _some(found: NaturalClients, owners: Sequence[int], most: int | None) -> NaturalClients:
    return NaturalClients.of({
        found.names[at]: (found.train.subset(found.clients[at][:most]), found.test.subset(found.local_tests[at][:most]))
        for at in owners
    })  # fmt: skip


def _joined(a: Dataset, b: Dataset) -> Dataset:
    return Dataset(a.name, torch.cat([a.x, b.x]), torch.cat([a.y, b.y]), a.classes)
