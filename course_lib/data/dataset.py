"""A data set in memory: examples, labels, and what the labels mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from course_lib import seeds


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples: `x: (n, *shape)` float32, `y: (n,)` int64 with values in `range(len(classes))`.

    Raises ValueError, with the value, for NaN or infinity in `x`, labels that are not integers or name no class, and
    different lengths.
    """

    name: str
    x: Tensor
    y: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.dtype != torch.float32:
            raise ValueError(f"{self.name}: x is {self.x.dtype}, it must be torch.float32: convert it with .float()")
        if self.y.dtype != torch.int64 or self.y.dim() != 1:
            raise ValueError(
                f"{self.name}: y is {self.y.dtype} of shape {tuple(self.y.shape)}, it must be integer labels (n,) of "
                "torch.int64: number the classes from 0"
            )
        if len(self.x) != len(self.y):
            raise ValueError(f"{self.name}: {len(self.x)} examples but {len(self.y)} labels: they must go in pairs")
        if not torch.isfinite(self.x).all():
            bad = int((~torch.isfinite(self.x.flatten(1))).any(1).nonzero()[0])
            raise ValueError(f"{self.name}: example {bad} holds NaN or infinity: drop it or fill the gap")
        if len(self.y) and not (int(self.y.min()) >= 0 and int(self.y.max()) < len(self.classes)):
            raise ValueError(
                f"{self.name}: labels run from {int(self.y.min())} to {int(self.y.max())}, but {len(self.classes)} "
                f"classes are numbered 0 to {len(self.classes) - 1}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, for example (1, 28, 28)."""
        return tuple(self.x.shape[1:])

    @property
    def nbytes(self) -> int:
        """The bytes that examples and labels take in memory and on the wire."""
        return self.x.nbytes + self.y.nbytes

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {len(self)} examples of shape {self.shape}, {len(self.classes)} classes)"

    def subset(self, indices: "Sequence[int] | np.ndarray | Tensor") -> "Dataset":
        """Return a copy of the examples at `indices` (numbers, or a mask of booleans), in that order."""
        chosen = torch.as_tensor(indices)
        if not chosen.numel():
            chosen = chosen.long()
        return replace(self, x=self.x[chosen], y=self.y[chosen])


def hold_out(dataset: Dataset, share: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return the data set without a share of its examples, and that share: a validation split, drawn from the seed.

    Settings are chosen on it, so that the test set is touched once. Raises ValueError for a share that leaves nothing on a side.
    """
    held = round(share * len(dataset))
    if not 0 < held < len(dataset):
        raise ValueError(f"share={share} of {len(dataset)} examples leaves nothing on one side: take one such as 0.2")
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seeds.seed(seed)))
    return dataset.subset(order[held:].sort().values), dataset.subset(order[:held].sort().values)


def from_arrays(
    x: "np.ndarray | Tensor", y: "np.ndarray | Tensor | Sequence[int]", name: str = "mine",
    classes: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Return a Dataset made of your own arrays; `classes` default to "0", "1", ... up to the highest label.

    Raises ValueError for labels that are not whole numbers and for everything that Dataset refuses.
    """
    labels = integer_labels(y)
    if classes is None:
        classes = [str(label) for label in range(int(labels.max()) + 1 if len(labels) else 0)]
    examples = (
        x.detach().clone() if isinstance(x, Tensor) else torch.tensor(np.array(x, order="C"))
    )  # a copy: yours may change
    return Dataset(name, examples.float(), labels, tuple(classes))


def integer_labels(y: "np.ndarray | Tensor | Sequence[int]") -> Tensor:
    """Return labels `(n,)` as int64. Raises ValueError for text, fractions, NaN or another shape."""
    try:
        labels = y.detach().clone() if isinstance(y, Tensor) else torch.tensor(np.array(y, order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"labels must be integers, got {str(y)[:60]}: number the classes from 0") from error
    if labels.dim() != 1:
        raise ValueError(f"labels must have shape (n,), got {tuple(labels.shape)}: one integer an example")
    if labels.is_floating_point() and not torch.equal(labels, labels.round()):  # NaN equals nothing
        wrong = labels[labels != labels.round()][0].item()
        raise ValueError(f"labels must be integers, got {wrong}: number the classes from 0")
    if labels.dtype == torch.bool or labels.is_complex():
        raise ValueError(f"labels must be integers, got {labels.dtype}: convert them with .long()")
    return labels.long()
