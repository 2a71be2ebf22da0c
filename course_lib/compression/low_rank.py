"""PowerSGD (Vogels et al. 2019, arXiv 1905.13727): two thin matrices in place of each large one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.compression.interface import AddsUp, MeanOf, checked, received, with_residual

Shapes = tuple[tuple[int, ...], ...]


class Matrix(NamedTuple):
    """Where a matrix `(rows, columns)` lies in the flat vector."""

    where: slice
    rows: int
    columns: int


@dataclass(frozen=True)
class LowRank(AddsUp):
    """Each matrix of weights `M: (n, m)` as the product of `left: (n, rank)` and the transpose of `right: (m, rank)`.

    One power iteration a message, beginning at the right factor of the message before: left = orthonormal(M right), right =
    M' left (algorithm 1 of the paper). Weights of three and more dimensions count as matrices of their first; vectors, and matrices that the two
    factors would not make smaller, are sent as they are. In an all-reduce left and right are averaged one after the other:
    both are linear in M, so the result is what one worker would send that had the mean of all matrices.
    `feedback`: keep what is lost for the next vector. `shapes`: of the model's weights, in order; `rounds.fit` sees to it,
    by hand `LowRank(2).fitted(model)`. Raises ValueError for a rank below 1.
    """

    rank: int = 2
    feedback: bool = True
    shapes: Shapes = ()

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"rank={self.rank!r} must be a whole number of at least 1")

    def fitted(self, module: nn.Module) -> "LowRank":
        return replace(self, shapes=tuple(tuple(one.shape) for one in module.parameters() if one.requires_grad))

    def size(self, values: int) -> int:
        matrices, rest = self._layout(values)
        return 4 * (self.rank * sum(one.rows + one.columns for one in matrices) + len(rest))

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        _, rest = self._layout(len(checked(vector)))
        vector = self._given(vector, memory)
        lefts = [_orthonormal(left) for left in self._lefts(vector, self._rights(memory, len(vector)))]
        rights = self._times(vector, lefts)
        packed = _flat([*lefts, *rights, vector[rest]]).view(torch.uint8)
        return packed, self._memory(vector, lefts, rights, rights)

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        matrices, _ = self._layout(values)
        numbers = received(packed, self.size(values)).clone().view(torch.float32)
        lefts, numbers = self._cut(numbers, [one.rows for one in matrices])
        rights, numbers = self._cut(numbers, [one.columns for one in matrices])
        return self._product(lefts, rights, numbers, values)

    def all_reduced(
        self, vectors: Mapping[int, Tensor], memories: Mapping[int, Tensor], seed: int, mean_of: MeanOf
    ) -> tuple[Tensor, dict[int, Tensor]]:
        values = len(next(iter(vectors.values())))
        matrices, rest = self._layout(values)
        given = {worker: self._given(vector, memories.get(worker)) for worker, vector in vectors.items()}
        before = self._rights(next(iter(memories.values()), None), values)  # the same for all workers
        mean = mean_of({worker: _flat([*self._lefts(own, before), own[rest]]) for worker, own in given.items()})
        lefts, uncompressed = self._cut(mean, [one.rows for one in matrices])
        lefts = [_orthonormal(left) for left in lefts]
        rights = {worker: self._times(own, lefts) for worker, own in given.items()}
        mean = mean_of({worker: _flat(own) for worker, own in rights.items()}) if matrices else torch.zeros(0)
        together, _ = self._cut(mean, [one.columns for one in matrices])
        kept = {worker: self._memory(own, lefts, rights[worker], together) for worker, own in given.items()}
        return self._product(lefts, together, uncompressed, values), kept

    def _lefts(self, vector: Tensor, rights: Sequence[Tensor]) -> list[Tensor]:
        """Return M right for each matrix of the vector."""
        matrices, _ = self._layout(len(vector))
        return [_in(vector, one) @ right for one, right in zip(matrices, rights, strict=True)]

    def _times(self, vector: Tensor, lefts: Sequence[Tensor]) -> list[Tensor]:
        """Return M' left for each matrix of the vector."""
        matrices, _ = self._layout(len(vector))
        return [_in(vector, one).T @ left for one, left in zip(matrices, lefts, strict=True)]

    def _product(self, lefts: Sequence[Tensor], rights: Sequence[Tensor], rest: Tensor, values: int) -> Tensor:
        """Return the vector that factors and uncompressed numbers stand for."""
        matrices, places = self._layout(values)
        vector = torch.zeros(values).index_copy_(0, places, rest)
        for one, left, right in zip(matrices, lefts, rights, strict=True):
            torch.matmul(left, right.T, out=_in(vector, one))
        return vector

    def _given(self, vector: Tensor, memory: Tensor | None) -> Tensor:
        return with_residual(vector, memory) if self.feedback else vector

    def _memory(
        self, vector: Tensor, lefts: Sequence[Tensor], own: Sequence[Tensor], together: Sequence[Tensor]
    ) -> Tensor:  # fmt: skip
        """Return what a worker keeps: what its own factors lack of its vector, and where the next iteration begins."""
        _, rest = self._layout(len(vector))
        lost = vector - self._product(lefts, own, vector[rest], len(vector)) if self.feedback else vector[:0]
        return _flat([lost, *together])

    def _rights(self, memory: Tensor | None, values: int) -> list[Tensor]:
        """Return the right factor with which each matrix's iteration begins: at first, random numbers that everybody knows."""
        matrices, _ = self._layout(values)
        needed = self.rank * sum(one.columns for one in matrices)
        if memory is None:
            memory = torch.randn(needed, generator=torch.Generator().manual_seed(0))
        return self._cut(memory[len(memory) - needed :], [one.columns for one in matrices])[0]

    def _cut(self, numbers: Tensor, sides: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """Return matrices `(side, rank)` one after the other from the front of `numbers`, and what is left."""
        *parts, left = numbers.split([*(side * self.rank for side in sides), len(numbers) - self.rank * sum(sides)])
        return [part.view(side, self.rank) for part, side in zip(parts, sides, strict=True)], left

    def _layout(self, values: int) -> tuple[list[Matrix], Tensor]:
        if sum(map(prod, self.shapes)) != values:
            raise ValueError(
                f"{self!r} was given a vector of {values} numbers, but its shapes hold {sum(map(prod, self.shapes))}: "
                "it needs the shapes of the weights, as LowRank(2).fitted(model) gives it"
            )
        return _layout(self.shapes, self.rank)


@lru_cache(maxsize=32)
def _layout(shapes: Shapes, rank: int) -> tuple[list[Matrix], Tensor]:
    """Return the matrices that their factors make smaller, and the places of all other numbers."""
    matrices, rest, start = [], [], 0
    for shape in shapes:
        rows, columns = (shape[0], prod(shape[1:])) if len(shape) > 1 else (1, prod(shape))
        where = slice(start, start + rows * columns)
        if rank * (rows + columns) < rows * columns:
            matrices.append(Matrix(where, rows, columns))
        else:
            rest.append(torch.arange(where.start, where.stop))
        start = where.stop
    return matrices, torch.cat(rest) if rest else torch.zeros(0, dtype=torch.int64)


def _in(vector: Tensor, one: Matrix) -> Tensor:
    return vector[one.where].view(one.rows, one.columns)


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _orthonormal(columns: Tensor) -> Tensor:
    """Return orthonormal columns `(n, rank)` that span the same space, if need be and more."""
    return torch.linalg.qr(columns).Q
