"""Every way of packing, and vectors to pack."""

from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression import Compression, LowRank, Quantise, RandomK, Sign, TopK

numbers = st.floats(-1e6, 1e6, width=32).map(lambda number: number if abs(number) > 1e-6 else 0.0)
vectors = st.lists(numbers, min_size=1, max_size=60).map(torch.tensor)
WAYS: list[Compression] = [
    Quantise(), Quantise(feedback=True), Quantise(stochastic=True), Quantise(bits=1), Quantise(feedback=True, bits=1),
    Quantise(stochastic=True, bits=1), TopK(0.1), TopK(0.1, feedback=False), TopK(1.0), RandomK(0.1), RandomK(0.1, feedback=False),
    RandomK(1.0), Sign(), Sign(0.01), LowRank(1), LowRank(2), LowRank(1, feedback=False), LowRank(99),
]  # fmt: skip
FEEDBACK: list[Compression] = [
    Quantise(feedback=True), Quantise(feedback=True, stochastic=True), Quantise(feedback=True, bits=1), TopK(0.1), TopK(0.03),
    RandomK(0.1), LowRank(1), LowRank(2),
]  # fmt: skip
NOTHING_LOST: list[Compression] = [TopK(1.0), RandomK(1.0), RandomK(1.0, feedback=False), LowRank(99)]


def shaped(way: Compression, values: int) -> Compression:
    """Return a way for vectors of so many numbers: for one that asks for shapes, a matrix of four columns and a vector."""
    return replace(way, shapes=((values // 4, 4), (values % 4,))) if isinstance(way, LowRank) else way


def there_and_back(way: Compression, vector: Tensor) -> Tensor:
    return way.unpack(way.pack(vector)[0], len(vector))
