"""Vectors to aggregate, and every rule with its settings."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_lib.aggregation import robust

RULES: dict[str, Callable[[int], "robust.Rule | robust.Mixed"]] = {
    "median": lambda f: robust.CoordinateMedian(f),
    "trimmed mean": lambda f: robust.TrimmedMean(f),
    "Krum": lambda f: robust.Krum(f),
    "multi-Krum": lambda f: robust.MultiKrum(f),
    "Bulyan": lambda f: robust.Bulyan(f),
    "geometric median": lambda f: robust.GeometricMedian(f),
    "norm bounding": lambda f: robust.NormBounding(f, bound=3.0),
    "centred clipping": lambda f: robust.CentredClipping(f, radius=2.0, passes=3),
    "FLTrust": lambda f: robust.FLTrust(f),
    "mixing, then Krum": lambda f: robust.Mixed(robust.NearestNeighbourMixing(f), robust.Krum(f)),
    "mixing, then median": lambda f: robust.Mixed(robust.NearestNeighbourMixing(f), robust.CoordinateMedian(f)),
}


def given_for(rule: "robust.Rule | robust.Mixed", d: int) -> dict[str, Tensor]:
    return {name: {"reference": torch.ones(d), "start": torch.full((d,), 0.5)}[name] for name in rule.needs}


def normal(seed: int, n: int, d: int, mean: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, d)) + mean).astype(np.float32)
