"""Clients that differ, each in one way: how lesson 08's study deals its images to them."""

from dataclasses import replace

import numpy as np
import torch

from course_lib import data
from course_lib.data import Dataset

CLIENTS = 10
# Label skew. Dirichlet's alpha; None is one digit a client.
SKEWS: dict[str, float | None] = {"alpha = 100": 100, "alpha = 0.1": 0.1, "one digit each": None}
QUANTITY, FEATURE, CONCEPT = KINDS = ("quantity skew", "feature skew", "concept shift")
SEEN = (FEATURE, CONCEPT)  # by one machine as well: how images are dealt it never sees, but images and labels it does
SPREAD, NOISE = 0.3, 1.0  # Dirichlet's alpha of the sizes; the noise of the noisiest client


def deal(skew: str, train: Dataset, judge: Dataset, seed: int) -> tuple[Dataset, list[np.ndarray], Dataset]:
    """Return the training images, which of them each client holds, and the images that judge.

    The judging images are left as they are; under concept shift each is there twice, once under each name. Any other name than
    those of `SKEWS` and `KINDS`, such as that of one machine, deals alike.
    """
    if skew == FEATURE:
        return *data.partitions.feature_skew(train, CLIENTS, NOISE, seed), judge
    if skew == QUANTITY:
        return train, data.partitions.quantity_skew(train.y, CLIENTS, SPREAD, seed), judge
    if skew in SKEWS:
        alpha = SKEWS[skew]
        if alpha is None:
            return train, data.partitions.by_group(train.y), judge
        return train, data.partitions.dirichlet(train.y, CLIENTS, alpha, seed), judge
    parts = data.partitions.iid(train.y, CLIENTS, seed)
    return _shifted(train, parts, judge) if skew == CONCEPT else (train, parts, judge)


def _shifted(train: Dataset, parts: list[np.ndarray], judge: Dataset) -> tuple[Dataset, list[np.ndarray], Dataset]:
    """The second half of the clients calls a 4 a 9, and a 9 a 4."""
    labels = train.y.clone()
    for part in parts[CLIENTS // 2 :]:
        labels[part] = _renamed(labels[part])
    names = torch.cat([judge.y, _renamed(judge.y)])
    return replace(train, y=labels), parts, replace(judge, x=torch.cat([judge.x] * 2), y=names)


def _renamed(y: torch.Tensor) -> torch.Tensor:
    return torch.where(y == 4, 9, torch.where(y == 9, 4, y))
