"""Poison in the data: wrong labels, and a mark that opens a back door."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.data import Dataset


@dataclass(frozen=True)
class LabelFlip:
    """Labels are changed: `source` becomes `target`; with neither, every y becomes classes - 1 - y (for digits 9 - y).

    `share`: of the examples that could be flipped, rounded to whole ones and drawn at random. Source: Tolpegin et al.
    2020 (arXiv 2007.08432); all classes at once as in Fang et al. 2020 (arXiv 1911.11815).

    Raises ValueError for only one of source and target, the same for both, a share outside [0, 1], or a class that is
    not there.
    """

    source: int | None = None
    target: int | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        if (self.source is None) != (self.target is None) or (self.source == self.target is not None):
            raise ValueError(
                f"source={self.source} and target={self.target} must be two classes, or neither for y -> classes - 1 - y"
            )
        _refuse_share(self.share)

    def poison(self, dataset: Dataset, generator: torch.Generator) -> Dataset:
        """Return the data set with flipped labels; the examples stay."""
        for label in (self.source, self.target):
            if label is not None:
                _refuse_class(label, dataset)
        flipped = _drawn(
            torch.arange(len(dataset)) if self.source is None else _rows(dataset, self.source), self.share, generator
        )
        y = dataset.y.clone()
        y[flipped] = len(dataset.classes) - 1 - y[flipped] if self.target is None else self.target
        return replace(dataset, y=y)


@dataclass(frozen=True)
class Backdoor:
    """A bright square in the lower right corner that is to mean `target` (Gu et al. 2017, arXiv 1708.06733).

    The model works as well as ever on clean images, so accuracy does not show it. `share`: of the examples that get the
    square and the label `target`, rounded to whole ones and drawn at random. `size`: the square's side in pixels.
    `value`: how bright it is.

    Raises ValueError for a share outside [0, 1], a size below 1, or data that are not images at least as large, or lack
    the class.
    """

    target: int = 0
    share: float = 0.5
    size: int = 4
    value: float = 1.0

    def __post_init__(self) -> None:
        _refuse_share(self.share)
        if self.size < 1:
            raise ValueError(f"size={self.size} must be at least 1 pixel")

    def poison(self, dataset: Dataset, generator: torch.Generator) -> Dataset:
        """Return the data set with a share of its images marked and labelled `target`."""
        _refuse_class(self.target, dataset)
        chosen = _drawn(torch.arange(len(dataset)), self.share, generator)
        x, y = dataset.x.clone(), dataset.y.clone()
        x[chosen], y[chosen] = self.marked(x[chosen]), self.target
        return replace(dataset, x=x, y=y)

    def marked(self, x: Tensor) -> Tensor:
        """Return a copy of images `(n, channels, height, width)` with the square."""
        if x.dim() != 4 or min(x.shape[2:]) < self.size:
            raise ValueError(
                f"examples of shape {tuple(x.shape[1:])} have no room for a square of {self.size} x {self.size} pixels: take images"
            )
        x = x.clone()
        x[:, :, -self.size :, -self.size :] = self.value
        return x

    def triggered(self, test: Dataset) -> Dataset:
        """Return the marked images of `test` that do not show `target` anyway, with their true labels."""
        others = self.others(test)
        return replace(others, x=self.marked(others.x))

    def others(self, test: Dataset) -> Dataset:
        """Return the images of `test` that do not show `target`, as they are."""
        _refuse_class(self.target, test)
        return test.subset(test.y != self.target)


def _drawn(rows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[: round(share * len(rows))]]


def _rows(dataset: Dataset, label: int) -> Tensor:
    return (dataset.y == label).nonzero().flatten()


def _refuse_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} must lie between 0 and 1")


def _refuse_class(label: int, dataset: Dataset) -> None:
    if not 0 <= label < len(dataset.classes):
        raise ValueError(f"{dataset.name} has no class {label}: it has 0 to {len(dataset.classes) - 1}")
