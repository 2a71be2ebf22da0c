"""How good a model is, and how sure we are: metrics, per-client accuracy, confidence intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.data import Dataset

Values = Sequence[float] | np.ndarray

_BATCH = 1024  # large enough to be quick, small enough that a CNN's activations stay far below 2 GB


@torch.no_grad()
def scores(model: nn.Module, x: Tensor) -> Tensor:
    """Return the model's scores `(n, classes)` for examples `(n, *shape)`."""
    was_training = model.training
    model.eval()
    try:
        return torch.cat([model(part.clone()) for part in x.split(_BATCH)])  # a layer may work in place
    finally:
        model.train(was_training)


def accuracy(model: nn.Module, dataset: Dataset) -> float:
    """Return the share of examples, 0 to 1, whose highest score is their label."""
    return accuracy_and_loss(model, dataset)[0]


def accuracy_and_loss(model: nn.Module, dataset: Dataset) -> tuple[float, float]:
    """Return accuracy (0 to 1) and mean cross-entropy (nats)."""
    output = scores(model, dataset.x)
    hits = (output.argmax(1) == dataset.y).double().mean().item()
    return hits, functional.cross_entropy(output, dataset.y).item()


def per_client_accuracy(model: nn.Module, clients: Iterable[Dataset]) -> list[float]:
    """Return the model's accuracy (0 to 1) on each client's own examples."""
    return [accuracy(model, client) for client in clients]


def report(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Return accuracy, macro-F1, PR-AUC (all 0 to 1) and mean cross-entropy, see `report_on`."""
    return report_on(scores(model, dataset.x), dataset.y, len(dataset.classes))


def report_on(output: Tensor, y: Tensor, classes: int) -> dict[str, float]:
    """Return accuracy, macro-F1, PR-AUC (all 0 to 1) and mean cross-entropy of scores `(n, classes)` for labels `(n,)`.

    PR-AUC is average precision, of class 1 where there are two classes and the mean over classes otherwise; a class that
    no label names is left out of that mean.
    """
    from sklearn.metrics import average_precision_score, f1_score

    probability, truth = output.softmax(1).numpy(), y.numpy()
    positives = [1] if classes == 2 else sorted(set(truth.tolist()))
    precisions = [average_precision_score(truth == label, probability[:, label]) for label in positives]
    return {
        "accuracy": (output.argmax(1) == y).double().mean().item(),
        "macro_f1": float(f1_score(truth, output.argmax(1).numpy(), average="macro", zero_division=0.0)),
        "pr_auc": float(sum(precisions) / len(precisions)),
        "loss": functional.cross_entropy(output, y).item(),
    }


@dataclass(frozen=True)
class Interval:
    """A mean over `n` repeated runs and its confidence interval, from `low` to `high`."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's length: what stands behind the ±."""
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> bool:
        """Say whether `value` lies outside the interval."""
        return not self.low <= value <= self.high

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        if spec.endswith("%"):
            shown = Interval(100 * self.mean, 100 * self.low, 100 * self.high, self.n)
            return f"{shown:{spec.removesuffix('%') or '.1'}f} %"
        bare = spec.removeprefix("+")
        below, above = f"{self.mean - self.low:{bare}}", f"{self.high - self.mean:{bare}}"
        if f"{self.half_width:{bare}}" not in (
            below,
            above,
        ):  # cut off on one side: a ± would reach beyond what is possible
            return f"{self.mean:{spec}} ({self.low:{bare}} to {self.high:{bare}})"
        return f"{self.mean:{spec}} ± {self.half_width:{bare}}"

    def __str__(self) -> str:
        return format(self)


def interval(values: Values, level: float = 0.95, within: tuple[float, float] | None = None) -> Interval:
    """Return the mean with its Student t-interval, for one value a seed.

    `within`: the lowest and the highest value that is possible, such as (0, 1) for an accuracy; no bound lies beyond.

    Raises ValueError for fewer than two values, a value that is not finite, or a level outside (0, 1).
    """
    numbers = [float(value) for value in values]
    if len(numbers) < 2:
        raise ValueError(f"an interval needs at least 2 values, got {len(numbers)}: repeat the run with more seeds")
    if not all(isfinite(number) for number in numbers):
        raise ValueError(f"an interval needs finite values, got {numbers}: look at the run that failed first")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95")
    from scipy.stats import t

    n = len(numbers)
    mean = sum(numbers) / n
    deviation = sqrt(sum((number - mean) ** 2 for number in numbers) / (n - 1))
    half = float(t.ppf((1 + level) / 2, n - 1)) * deviation / sqrt(n)
    lowest, highest = within or (-inf, inf)
    return Interval(mean, max(mean - half, lowest), min(mean + half, highest), n)


def paired_difference(
    a: Values | Mapping[int, float], b: Values | Mapping[int, float], level: float = 0.95
) -> Interval:
    """Return the interval of `a - b`, seed by seed.

    Sequences are paired by position, mappings by seed. Pairing removes what both share, such as an easy split. Raises
    ValueError where the two do not hold the same seeds.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            raise ValueError(f"the two must hold the same seeds, got {sorted(a)} and {sorted(b)}")
        return interval([a[seed] - b[seed] for seed in a], level)
    if isinstance(a, Mapping) or isinstance(b, Mapping) or len(a) != len(b):
        raise ValueError(f"pairing needs one value for each same seed, got {len(a)} and {len(b)} values")
    return interval([first - second for first, second in zip(a, b, strict=True)], level)
