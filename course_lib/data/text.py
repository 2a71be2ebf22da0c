"""Text as examples: a window of characters, and the one that comes next."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from course_lib.data.dataset import Dataset

# The keys of a small keyboard, numbered from 0.
ALPHABET = " abcdefghijklmnopqrstuvwxyz.,;:!?'()-"
WINDOW = 16

_OTHERS = re.compile(f"[^{re.escape(ALPHABET.strip())}]+")
_NUMBER = np.zeros(128, np.uint8)
_NUMBER[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))


def fold(text: str) -> str:
    """Return the text in the characters of ALPHABET: in lower case, and each run of others and of spaces as one space."""
    return _OTHERS.sub(" ", text.lower()).strip()


def next_characters(passages: Sequence[str], stride: int, name: str) -> Dataset:
    """Return one example for every `stride`-th character of each folded passage.

    `x: (n, WINDOW)`: the numbers in ALPHABET of the characters before it, where what lies before the passage counts as
    spaces. `y: (n,)`: its own number.
    """
    x, y = [], []
    for passage in passages:
        numbers = _NUMBER[np.frombuffer((" " * WINDOW + passage).encode("ascii"), np.uint8)]
        before = np.lib.stride_tricks.sliding_window_view(numbers[:-1], WINDOW)
        x.append(before[stride - 1 :: stride])
        y.append(numbers[WINDOW + stride - 1 :: stride])
    return Dataset(
        name, torch.from_numpy(np.concatenate(x)).float(), torch.from_numpy(np.concatenate(y)).long(), tuple(ALPHABET)
    )  # fmt: skip


def split(
    texts: Sequence[str], stride: int, name: str, test_fraction: float, generator: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Return (train, test) of one client's texts: a text is in one of them whole, or its windows would overlap.

    About `test_fraction` of the texts, drawn by `generator`, are the test. Of equal texts one is kept. Raises ValueError
    where fewer than two remain.
    """
    passages = [passage for passage in dict.fromkeys(map(fold, texts)) if len(passage) >= stride]
    if len(passages) < 2:
        raise ValueError(
            f"{name}: {len(passages)} texts of {stride} characters or more: to train and to test takes two"
        )
    order = generator.permutation(len(passages))
    tests = min(len(passages) - 1, max(1, round(test_fraction * len(passages))))
    train, test = (
        next_characters([passages[index] for index in sorted(part)], stride, name)
        for part in (order[tests:], order[:tests])
    )
    return train, test
