"""Twelve markets of which each has its own daily returns, to forecast the next day's class from the days before: generated.

A return is the world's move as far as the market goes with it, some of yesterday's own return (in some markets with the
sign turned: there a rise is followed by a fall), some of the world's move of yesterday, and chance. Calm and stormy days come in
runs, as in GARCH(1, 1) (Bollerslev 1986, doi 10.1016/0304-4076(86)90063-1). Real markets say far less about tomorrow than these.

To forecast is to classify here, because the course's one loss is cross-entropy: tomorrow falls, stays or rises, by half a per cent.
"""

import numpy as np
import torch

from course_lib.data.dataset import Dataset

MARKETS, DAYS = 12, 750
OWN, WORLD = 10, 5  # days of its own returns, and of the world's, that a forecast sees
CLASSES = ("falls", "stays", "rises")
STAYS = 0.5  # per cent, up or down

_KEY = 20_260_104


def markets(seed: int, test_fraction: float) -> dict[str, tuple[Dataset, Dataset]]:
    """Return (train, test) of each market: `x: (n, 15)` returns in per cent, the latest last; `y: (n,)`, the next day's class.

    The test is the last `test_fraction` of the days, after a gap, so that no day is in both.
    """
    chance = np.random.default_rng([seed, _KEY])
    world = _stormy(chance, DAYS, np.zeros(DAYS), 0.0)
    found = {}
    for index in range(MARKETS):
        habits = np.random.default_rng([_KEY, index])
        with_world, after_world = habits.uniform(0.2, 0.6), habits.uniform(0.3, 1.0)
        again = habits.uniform(-0.5, 0.5)
        pull = with_world * world + after_world * np.concatenate([[0.0], world[:-1]])
        own = _stormy(np.random.default_rng([seed, _KEY, index]), DAYS, pull, again, habits.uniform(0.4, 0.8))
        found[f"Market {index + 1}"] = _in_time(own, world, test_fraction)
    return found


def _stormy(chance: np.random.Generator, days: int, pull: np.ndarray, again: float, level: float = 0.7) -> np.ndarray:
    """Return `days` returns in per cent: pull + again x the day before + chance, whose variance remembers."""
    draws, found = chance.normal(size=days), np.zeros(days)
    variance = level**2
    shock = 0.0
    for day in range(days):
        variance = 0.1 * level**2 + 0.2 * shock**2 + 0.7 * variance
        shock = draws[day] * variance**0.5
        found[day] = pull[day] + again * (found[day - 1] if day else 0.0) + shock
    return found


def _in_time(own: np.ndarray, world: np.ndarray, test_fraction: float) -> tuple[Dataset, Dataset]:
    last = np.arange(OWN - 1, len(own) - 1)  # the day on which a forecast is made
    x = np.concatenate(
        [np.lib.stride_tricks.sliding_window_view(series, width)[last - width + 1]
         for series, width in ((own, OWN), (world, WORLD))], axis=1,
    )  # fmt: skip
    y = 1 + (own[last + 1] > STAYS).astype(np.int64) - (own[last + 1] < -STAYS)
    tests = min(len(last) - OWN - 2, max(1, round(test_fraction * len(last))))
    parts = slice(None, len(last) - tests - OWN), slice(len(last) - tests, None)
    train, test = (
        Dataset("markets", torch.from_numpy(x[part].copy()).float(), torch.from_numpy(y[part].copy()), CLASSES)
        for part in parts
    )
    return train, test
