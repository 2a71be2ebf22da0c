"""Eight road signs as twelve cars see them, drawn by this file.

A sign is a plate (a disc, an octagon, a triangle, a diamond or a square) with a rim and a mark on it. It is seen from near or far, turned and
off the middle, in front of what stands beside the road, in this weather and with that camera. Each car drives somewhere: on motorways, in a
town, in a forest or by night; and meets some signs more often than others.
"""

from collections.abc import Callable

import numpy as np
import torch

from course_lib.data.dataset import Dataset

CARS, SIDE = 12, 16
CLASSES = ("stop", "no entry", "give way", "danger", "main road", "speed limit", "keep right", "crossing")
PLACES = {
    "motorway": (0.55, 0.6, 0.65),
    "town": (0.5, 0.45, 0.42),
    "forest": (0.2, 0.38, 0.18),
    "night": (0.05, 0.05, 0.08),
}
_RED, _WHITE, _BLUE, _YELLOW, _BLACK = (
    (0.75, 0.1, 0.12),
    (0.95, 0.95, 0.95),
    (0.1, 0.25, 0.65),
    (0.95, 0.75, 0.1),
    (0.08, 0.08, 0.08),
)
_FINE = 2  # each pixel is the mean of so many points a side, or edges would be stairs

_KEY = 20_260_108
Mask = np.ndarray
Colour = tuple[float, float, float]


def cars(seed: int) -> dict[str, Dataset]:
    """Return what each car sees: `x: (n, 3, 16, 16)`, colours from -2 (none) to 2, on a fixed scale; `y: (n,)`, the sign. 100 to 250
    pictures each. Colours from 0 to 1, all on one side of 0, would keep a small convolutional net from learning for many passes.
    """
    return {f"Car {index + 1}, {_place(index)}": _car(index, seed) for index in range(CARS)}


def _place(index: int) -> str:
    return tuple(PLACES)[index % len(PLACES)]


def _car(index: int, seed: int) -> Dataset:
    habits, chance = np.random.default_rng([_KEY, index]), np.random.default_rng([seed, _KEY, index])
    n = int(habits.integers(100, 251))
    y = chance.choice(len(CLASSES), n, p=habits.dirichlet(np.full(len(CLASSES), 1.0)))
    dark, tint = (0.45 if _place(index) == "night" else 1.0), habits.normal(1, 0.08, 3)
    pictures = np.empty((n, 3, SIDE, SIDE))
    for sign in range(len(CLASSES)):
        which = np.flatnonzero(y == sign)
        pictures[which] = _drawn(sign, len(which), PLACES[_place(index)], chance)
    light = dark * np.exp(chance.normal(0, 0.25, (n, 1, 1, 1)))
    haze = chance.uniform(0, 0.45, (n, 1, 1, 1))
    seen = ((1 - haze) * pictures + haze * 0.7) * light * tint[:, None, None]
    seen = np.clip(seen + chance.normal(0, 0.08, seen.shape), 0, 1)
    return Dataset("road_signs", torch.from_numpy((seen - 0.5) / 0.25).float(), torch.from_numpy(y).long(), CLASSES)


def _drawn(sign: int, n: int, beside: Colour, chance: np.random.Generator) -> np.ndarray:
    """Return `n` pictures `(n, 3, 16, 16)` of one sign, each from its own place."""
    points = np.linspace(-1.3, 1.3, SIDE * _FINE)
    across, down = np.meshgrid(points, points)
    size, angle = chance.uniform(0.65, 1.2, (n, 1, 1)), chance.normal(0, 0.15, (n, 1, 1))
    u = (across - chance.normal(0, 0.15, (n, 1, 1))) / size
    v = (down - chance.normal(0, 0.15, (n, 1, 1))) / (size * chance.uniform(0.8, 1.1, (n, 1, 1)))
    u, v = np.cos(angle) * u - np.sin(angle) * v, np.sin(angle) * u + np.cos(angle) * v
    ground = np.array(beside) + chance.normal(0, 0.12, (n, 1, 1, 3))
    colours = ground + 0.1 * chance.normal(size=(n, 1, 1, 1)) * (down[:, :, None] > chance.uniform(-1, 1, (n, 1, 1, 1)))
    for mask, colour in _SIGNS[CLASSES[sign]](u, v):
        colours = np.where(mask[..., None], colour, colours)
    small = colours.reshape(n, SIDE, _FINE, SIDE, _FINE, 3).mean((2, 4))
    return small.transpose(0, 3, 1, 2)


def _disc(u: Mask, v: Mask, by: float = 1.0) -> Mask:
    return u**2 + v**2 < by**2


def _octagon(u: Mask, v: Mask) -> Mask:
    return np.maximum(np.maximum(abs(u), abs(v)), (abs(u) + abs(v)) / np.sqrt(2)) < 0.93


def _triangle(u: Mask, v: Mask, by: float = 1.0) -> Mask:
    """A triangle that stands on its side; `v` points down."""
    return (v < 0.75 * by) & (1.9 * abs(u) - v < by)


def _bar(u: Mask, v: Mask) -> Mask:
    return (abs(v) < 0.2) & (abs(u) < 0.65)


def _arrow(u: Mask, v: Mask) -> Mask:
    return (abs(v - u) < 0.25) & (abs(u + v) < 0.9) | (u > 0.1) & (v > 0.1) & (u + v < 1.0)


# What is painted over what, from the plate to the mark.
_SIGNS: dict[str, Callable[[Mask, Mask], list[tuple[Mask, Colour]]]] = {
    "stop": lambda u, v: [(_octagon(u, v), _RED), (_bar(u, 1.3 * v) & (abs(abs(u) - 0.3) > 0.06), _WHITE)],
    "no entry": lambda u, v: [(_disc(u, v), _RED), (_bar(u, v), _WHITE)],
    "give way": lambda u, v: [(_triangle(u, -v), _RED), (_triangle(u, -v, 0.55), _WHITE)],
    "danger": lambda u, v: [(_triangle(u, v), _RED), (_triangle(u, v, 0.55), _WHITE), (_disc(2 * u, v - 0.1, 0.3), _BLACK)],
    "main road": lambda u, v: [(abs(u) + abs(v) < 1.1, _WHITE), (abs(u) + abs(v) < 0.75, _YELLOW)],
    "speed limit": lambda u, v: [(_disc(u, v), _RED), (_disc(u, v, 0.72), _WHITE), ((abs(abs(u) - 0.25) < 0.12) & (abs(v) < 0.4), _BLACK)],
    "keep right": lambda u, v: [(_disc(u, v), _BLUE), (_arrow(u, v), _WHITE)],
    "crossing": lambda u, v: [(np.maximum(abs(u), abs(v)) < 0.9, _BLUE), (_triangle(u, v, 0.65), _WHITE)],
}  # fmt: skip
