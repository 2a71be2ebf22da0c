"""The rules again, from their definitions: slow, in plain NumPy, one vector at a time."""

import numpy as np
from scipy.optimize import minimize

Array = np.ndarray


def median(x: Array) -> Array:
    return np.median(x, axis=0)


def trimmed_mean(x: Array, f: int) -> Array:
    result = []
    for column in x.T:
        values = list(column)
        for _ in range(f):
            values.remove(min(values))
            values.remove(max(values))
        result.append(sum(values) / len(values))
    return np.array(result)


def krum_score(i: int, x: Array, f: int) -> list[float]:
    """The score, and what decides between equal ones: the distances themselves, the nearest first."""
    distances = sorted(float(((x[i] - x[j]) ** 2).sum()) for j in range(len(x)) if j != i)
    return [sum(distances[: max(1, len(x) - f - 2)]), *distances]


def krum(x: Array, f: int) -> Array:
    return x[min(range(len(x)), key=lambda i: krum_score(i, x, f))]


def multi_krum(x: Array, f: int, keep: int) -> Array:
    best = sorted(range(len(x)), key=lambda i: krum_score(i, x, f))[:keep]
    return np.mean([x[i] for i in best], axis=0)


def bulyan(x: Array, f: int) -> Array:
    left = x.copy()
    chosen: list[Array] = []
    while len(chosen) < len(x) - 2 * f:
        best = min(range(len(left)), key=lambda i: krum_score(i, left, f))
        chosen.append(left[best])
        left = np.delete(left, best, axis=0)
    result = []
    for column in np.array(chosen).T:
        middle = np.median(column)
        nearest = sorted(column, key=lambda value: abs(value - middle))
        result.append(np.mean(nearest[: len(x) - 4 * f]))
    return np.array(result)


def sum_of_distances(point: Array, x: Array) -> float:
    return float(sum(np.sqrt(((row - point) ** 2).sum()) for row in x))


def geometric_median(x: Array) -> Array:
    found = minimize(
        sum_of_distances, x.mean(0), args=(x,), method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000},
    )  # fmt: skip
    return found.x


def centred_clipping(x: Array, radius: float, passes: int, start: Array) -> Array:
    for _ in range(passes):
        steps = [row - start for row in x]
        lengths = [np.linalg.norm(step) for step in steps]
        start = start + sum(s if r <= radius else s * radius / r for s, r in zip(steps, lengths, strict=True)) / len(x)
    return start


def fltrust(x: Array, reference: Array) -> Array:
    total, trusts = np.zeros(x.shape[1]), 0.0
    for row in x:
        cosine = row @ reference / np.linalg.norm(row) / np.linalg.norm(reference)
        trust = max(cosine, 0.0)
        total += trust * np.linalg.norm(reference) / np.linalg.norm(row) * row
        trusts += trust
    return total / trusts if trusts else total


def nearest_neighbour_mixing(x: Array, f: int) -> Array:
    mixed = []
    for row in x:
        nearest = sorted(x, key=lambda other: float(((other - row) ** 2).sum()))[: len(x) - f]
        mixed.append(np.mean(nearest, axis=0))
    return np.array(mixed)
