"""Eight words that 16 people say to the device in their kitchen, as pictures of sound: generated.

A word is a path through three vowels. A vowel is where the mouth lets most through, two frequencies (formants) near the averages of
Peterson and Barney 1952 (doi 10.1121/1.1906875). A long throat lowers all of them, an accent moves each vowel a little, people speak
fast or slowly, loudly or softly, and each kitchen hums at a frequency of its own.
"""

import numpy as np
import torch

from course_lib.data.dataset import Dataset

SPEAKERS, BANDS, FRAMES = 16, 16, 16
_VOWELS = np.log(np.array([[270, 2290], [530, 1840], [730, 1090], [570, 840], [300, 870], [490, 1350]]))  # i e a o u er
_WORDS = {
    "yes": (0, 1, 1), "no": (3, 3, 4), "on": (3, 2, 2), "off": (2, 3, 3), "louder": (2, 4, 5), "softer": (3, 1, 5),
    "timer": (2, 0, 5), "radio": (1, 0, 3),
}  # fmt: skip
CLASSES = tuple(_WORDS)
_CENTRES = np.linspace(np.log(200), np.log(3500), BANDS)  # of the bands, in logarithms of hertz

_KEY = 20_260_107


def speakers(seed: int) -> dict[str, Dataset]:
    """Return what each speaker says: `x: (n, 1, 16, 16)`, energy by band and frame; `y: (n,)`, the word. 60 to 160 words each."""
    return {f"Speaker {index + 1}": _speaker(index, seed) for index in range(SPEAKERS)}


def _speaker(index: int, seed: int) -> Dataset:
    habits, chance = np.random.default_rng([_KEY, index]), np.random.default_rng([seed, _KEY, index])
    n = int(habits.integers(60, 161))
    own = _VOWELS + habits.normal(0, 0.12) + habits.normal(0, 0.08, _VOWELS.shape)
    hum, hums, speed = habits.integers(BANDS), habits.uniform(0, 0.6), habits.normal(0, 0.1)
    y = chance.choice(len(CLASSES), n, p=habits.dirichlet(np.full(len(CLASSES), 2.0)))
    stops = own[np.array(list(_WORDS.values()))[y]] + chance.normal(0, 0.06, (n, 3, 2))
    # Where in the word each frame is, 0 to 1: begun early or late, spoken fast or slowly.
    length = np.exp(speed + chance.normal(0, 0.15, (n, 1)))
    place = (np.arange(FRAMES) / (FRAMES - 1) - chance.uniform(0, 0.15, (n, 1))) / length
    path = _between(stops, np.clip(place, 0, 1))
    width = 0.22
    energy = np.exp(-0.5 * ((_CENTRES[None, :, None, None] - path[:, None]) / width) ** 2).sum(-1)
    loud = np.exp(chance.normal(0, 0.25, (n, 1, 1))) * ((place > 0) & (place < 1))[:, None]
    energy = energy * loud + chance.normal(0, 0.25, energy.shape)
    energy[:, hum] += hums
    return Dataset("voices", torch.from_numpy(energy[:, None]).float(), torch.from_numpy(y).long(), CLASSES)


def _between(stops: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return where a path through three stops `(n, 3, 2)` is at each place `(n, frames)`: `(n, frames, 2)`."""
    first, second = np.minimum(place * 2, 1)[..., None], np.maximum(place * 2 - 1, 0)[..., None]
    a, b, c = (stops[:, None, stop] for stop in range(3))
    return a + first * (b - a) + second * (c - b)
