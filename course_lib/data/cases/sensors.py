"""What 24 people do, from two seconds of the accelerometer on each one's wrist: generated.

Each person has a pace, a strength, a way to wear the device (it is turned about, on the left or the right arm), a device with more or
less noise, and a day of their own: some run a lot, some sit. An activity is a rhythm: a frequency, and how strong the
swing and its double (a step is two blows) are along the arm, across it and up.
"""

import numpy as np
import torch

from course_lib.data.dataset import Dataset

PEOPLE, SAMPLES, RATE = 24, 32, 16.0  # samples a window, samples a second
CLASSES = ("sits", "walks", "runs", "climbs stairs", "cycles", "washes up")
# Frequency (1/s), swing along, across and up (g), and the share of the swing at twice the frequency.
_RHYTHMS = np.array([
    [0.3, 0.03, 0.03, 0.03, 0.0],
    [0.9, 0.35, 0.15, 0.30, 0.5],
    [1.4, 0.90, 0.35, 0.90, 0.6],
    [0.75, 0.30, 0.15, 0.45, 0.3],
    [1.2, 0.12, 0.08, 0.15, 0.2],
    [1.7, 0.25, 0.35, 0.10, 0.1],
])  # fmt: skip
# How the arm is held: where gravity points, along, across and up.
_HELD = np.array(
    [[0.2, 0.5, 0.84], [0.9, 0.1, 0.4], [0.5, 0.3, 0.8], [0.8, 0.2, 0.55], [0.3, 0.2, 0.93], [0.5, 0.6, 0.62]]
)

_KEY = 20_260_106


def people(seed: int) -> dict[str, Dataset]:
    """Return each person's windows: `x: (n, 3, 32)`, acceleration in g along three axes; `y: (n,)`, the activity.

    60 to 180 windows each.
    """
    return {f"Person {index + 1}": _person(index, seed) for index in range(PEOPLE)}


def _person(index: int, seed: int) -> Dataset:
    habits, chance = np.random.default_rng([_KEY, index]), np.random.default_rng([seed, _KEY, index])
    n = int(habits.integers(60, 181))
    pace, strength, noise = habits.normal(1, 0.1), np.exp(habits.normal(0, 0.25)), habits.uniform(0.1, 0.3)
    worn = _turned(*habits.normal(0, (0.5, 0.3, 0.3))) * np.array([1, habits.choice([-1, 1]), 1])
    y = chance.choice(len(CLASSES), n, p=habits.dirichlet(np.full(len(CLASSES), 1.0)))
    frequency = _RHYTHMS[y, 0] * pace * np.exp(chance.normal(0, 0.12, n))
    swing = _RHYTHMS[y, 1:4] * strength * np.exp(chance.normal(0, 0.35, (n, 3)))
    double = _RHYTHMS[y, 4]
    phase = chance.uniform(0, 2 * np.pi, (n, 1)) + 2 * np.pi * frequency[:, None] * np.arange(SAMPLES) / RATE
    lag = np.array([0.0, 1.2, 0.6])[:, None]  # the axes do not swing together
    wave = (1 - double[:, None, None]) * np.sin(phase[:, None] + lag) + double[:, None, None] * np.sin(
        2 * phase[:, None] + lag
    )
    held = _HELD[y] + chance.normal(0, 0.2, (n, 3))
    seen = np.einsum("ab,nbt->nat", worn, held[:, :, None] + swing[:, :, None] * wave)
    seen += chance.normal(0, noise, seen.shape)
    return Dataset("sensors", torch.from_numpy(seen).float(), torch.from_numpy(y).long(), CLASSES)


def _turned(about_up: float, about_across: float, about_along: float) -> np.ndarray:
    """Return the rotation `(3, 3)` by three angles in radians."""
    found = np.eye(3)
    for angle, (a, b) in zip((about_up, about_across, about_along), ((0, 1), (0, 2), (1, 2)), strict=True):
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        found = found @ turn
    return found
