"""Two models of time, each fitted to what was measured here and extrapolated with an interval.

Both are straight lines, fitted by least squares of relative errors, so that a microsecond counts at a small message as a millisecond does at
a large one. Intervals are percentiles of fits to resampled points (Efron 1979, pairs bootstrap, 2,000 of them): they cover how far the points
scatter around the line, and no other way in which a model can be wrong beyond the points.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from course_lib.learning import Interval
from course_lib.settings import real

_DRAWS = 2_000
_FEWEST = 6
_LEVEL = 95.0


@dataclass(frozen=True)
class Line:
    """A fitted line `intercept + slope x` with the lines fitted to resampled points, `draws: (n, 2)`. `points`: how many were measured."""

    intercept: float
    slope: float
    draws: np.ndarray = field(repr=False, compare=False)
    points: int = 0

    def of(self, quantity: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Interval:
        """Return `quantity(intercept, slope)` with its interval; it takes and returns arrays."""
        estimate = float(quantity(np.array(self.intercept), np.array(self.slope)))
        low, high = np.percentile(quantity(*self.draws.T), [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
        return Interval(estimate, float(low), float(high), self.points)


def _fitted(x: np.ndarray, seconds: np.ndarray) -> Line:
    """Return the line of seconds over `x` with the least squares of errors relative to the line."""
    chosen = np.random.default_rng(0).multinomial(len(x), np.full(len(x), 1 / len(x)), _DRAWS)
    different = (chosen @ (x[:, None] == np.unique(x)[None, :]) > 0).sum(axis=1)
    chosen = chosen[different > 1]  # through the points of one x goes any line
    scale = seconds
    for _ in range(5):  # relative to what was measured, points that are too low by chance would count too much
        intercept, slope = _least_squares(np.ones((1, len(x))), x / scale, seconds / scale, 1 / scale)[0]
        scale = np.maximum(intercept + slope * x, seconds.min() / 2)
    return Line(float(intercept), float(slope), _least_squares(chosen, x / scale, seconds / scale, 1 / scale), len(x))


def _least_squares(times: np.ndarray, rise: np.ndarray, target: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return intercept and slope, (k, 2), of the lines through points that count so many `times: (k, n)`."""
    a, b, c, p, q = (times @ sums for sums in (one * one, one * rise, rise * rise, one * target, rise * target))
    spread = a * c - b * b
    return np.stack([(c * p - b * q) / spread, (a * q - b * p) / spread], axis=1)


def _checked(what: str, x: ArrayLike, seconds: ArrayLike, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays. Raises ValueError, with the remedy, for points that no line can be drawn through."""
    at, took = np.asarray(x, dtype=float), np.asarray(seconds, dtype=float)
    if at.shape != took.shape or at.ndim != 1:
        raise ValueError(f"{what} has shape {at.shape}, seconds {took.shape}: pass one time for each, both (n,)")
    if not ((took > 0) & (took < np.inf) & (at >= 0) & (at < np.inf)).all():
        raise ValueError(f"{what} must be at least 0 and seconds above 0, all finite: leave out what failed")
    if len(at) < _FEWEST or len(np.unique(at)) < kinds:
        raise ValueError(
            f"{len(at)} points at {len(np.unique(at))} different {what} do not determine a line with an interval: measure at least "
            f"{_FEWEST}, at {kinds} or more different {what}"
        )
    return at, took


@dataclass(frozen=True)
class AlphaBeta:
    """The time of a message: `alpha` seconds, however small it is, plus bytes / `beta` (Hockney 1994, doi:10.1016/S0167-8191(06)80021-9)."""

    line: Line

    @property
    def alpha(self) -> Interval:
        """Seconds until a message of no bytes is there."""
        return self.line.of(lambda intercept, slope: intercept)

    @property
    def beta(self) -> Interval:
        """Bytes a second."""
        slope = self.line.of(lambda intercept, slope: slope)
        return Interval(1 / slope.mean, 1 / slope.high, 1 / slope.low, slope.n)

    def seconds(self, size: float) -> Interval:
        """Return how many seconds a message of `size` bytes takes. Raises ValueError for a size that is negative or not finite."""
        if not 0 <= real(size, "size") < float("inf"):
            raise ValueError(f"size={size} must be a finite number of bytes, at least 0")
        return self.line.of(lambda intercept, slope: intercept + slope * size)


def alpha_beta(sizes: ArrayLike, seconds: ArrayLike) -> AlphaBeta:
    """Fit the model to messages of `sizes: (n,)` bytes that took `seconds: (n,)`; repeats of a size are points of their own.

    Raises ValueError where the points do not tell alpha or beta from 0.
    """
    line = _fitted(*_checked("sizes", sizes, seconds, 3))
    for number, name, remedy in ((0, "alpha", "smaller"), (1, "1 / beta", "larger")):
        low, high = np.percentile(line.draws[:, number], [2.5, 97.5])
        if low <= 0:
            raise ValueError(
                f"these points do not determine {name}, which lies between {low:.2g} and {high:.2g}: measure {remedy} messages as well"
            )
    return AlphaBeta(line)


@dataclass(frozen=True)
class Amdahl:
    """The time of the same work on n workers: a serial part that nobody shares, and the rest by n (Amdahl 1967, doi:10.1145/1465482.1465560)."""

    line: Line

    @property
    def serial(self) -> Interval:
        """The share of one worker's time, 0 to 1, that stays however many workers there are."""
        return self.line.of(lambda intercept, slope: np.clip(intercept / (intercept + slope), 0, 1))

    @property
    def ceiling(self) -> Interval:
        """How many times as fast it can become at most; infinite where nothing is serial."""
        found = self.serial
        once, least, most = (1 / share if share > 0 else float("inf") for share in (found.mean, found.high, found.low))
        return Interval(once, least, most, found.n)

    def speedup(self, workers: float) -> Interval:
        """Return how many times as fast so many workers are as one. Raises ValueError for fewer than 1; for infinity ask for `ceiling`."""
        if not 1 <= real(workers, "workers") < float("inf"):
            raise ValueError(f"workers={workers} must be at least 1 and finite")
        return self.line.of(
            lambda intercept, slope: (np.maximum(intercept, 0) + slope) / (np.maximum(intercept, 0) + slope / workers)
        )


def amdahl(workers: ArrayLike, seconds: ArrayLike) -> Amdahl:
    """Fit the law to times `seconds: (n,)` of the same work on `workers: (n,)`; repeats are points of their own.

    Raises ValueError where the points do not show that any part is shared, or leave everything from 0 to 1 possible for the serial part.
    """
    count, took = _checked("workers", workers, seconds, 2)
    if count.min() < 1:
        raise ValueError(f"workers={count.min():g} must be at least 1")
    law = Amdahl(_fitted(1 / count, took))
    low, high = np.percentile(law.line.draws[:, 1], [2.5, 97.5])
    if low <= 0:
        raise ValueError(
            f"these points do not show that more workers are quicker (the shared part lies between {low:.2g} and {high:.2g} seconds): there "
            "is no speed-up to extrapolate"
        )
    return law
