"""Only some of the numbers: the largest, or whichever a seed picks."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.compression.interface import AddsUp, Compression, MeanOf, received, with_residual
from course_lib.settings import real


@dataclass(frozen=True)
class TopK(Compression):
    """Only the `share` of all numbers that are largest in size, with their places: 8 bytes each (Aji and Heafield 2017, arXiv
    1704.05021). At least one number is sent.

    `feedback`: keep what is not sent for the next vector (Stich et al. 2018, arXiv 1809.07599). Raises ValueError for a share
    outside (0, 1].
    """

    share: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        _check_share(self.share)

    def size(self, values: int) -> int:
        return 8 * _kept(self.share, values)

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        vector = with_residual(vector, memory)
        # topk counts NaN as the largest, so one NaN makes the message one.
        places = vector.abs().topk(_kept(self.share, len(vector))).indices.sort().values
        packed = torch.cat([places.to(torch.int32).view(torch.uint8), vector[places].view(torch.uint8)])
        if not self.feedback:
            return packed, None
        left = vector.clone()
        left[places] = 0
        return packed, left

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        half = len(received(packed, self.size(values))) // 2
        places = packed[:half].clone().view(torch.int32).long()
        if ((places < 0) | (places >= values)).any():
            # Whoever sent this did not pack it; the server leaves out what is not a number.
            return torch.full((values,), float("nan"))
        vector = torch.zeros(values)
        vector[places] = packed[half:].clone().view(torch.float32)
        return vector


@dataclass(frozen=True)
class RandomK(AddsUp):
    """Only a `share` of all numbers, at random places (Stich et al. 2018, arXiv 1809.07599): 4 bytes each, and nothing for the
    places, which both sides draw from one seed. At least one number is sent.

    A message to a server says its seed in 8 bytes. In an all-reduce all workers know the round's seed, so they send the same
    places and their messages add up.
    `feedback`: keep what is not sent for the next vector. Without, what is sent counts 1 / share times, so that each number is
    right on average. Raises ValueError for a share outside (0, 1].
    """

    share: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        _check_share(self.share)

    def size(self, values: int) -> int:
        return 8 + 4 * _kept(self.share, values)

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        seed = torch.randint(2**62, (1,))  # of torch's generator, which a run seeds for each client and round
        sent, left = self._split(vector, memory, self.places(len(vector), int(seed)))
        return torch.cat([seed.view(torch.uint8), sent.view(torch.uint8)]), left

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        packed = received(packed, self.size(values))
        places = self.places(values, int(packed[:8].clone().view(torch.int64)))
        return torch.zeros(values).index_copy_(0, places, packed[8:].clone().view(torch.float32))

    def all_reduced(
        self, vectors: Mapping[int, Tensor], memories: Mapping[int, Tensor], seed: int, mean_of: MeanOf
    ) -> tuple[Tensor, dict[int, Tensor]]:
        values = len(next(iter(vectors.values())))
        places = self.places(values, seed)
        split = {worker: self._split(vector, memories.get(worker), places) for worker, vector in vectors.items()}
        mean = mean_of({worker: sent for worker, (sent, _) in split.items()})
        kept = {worker: left for worker, (_, left) in split.items() if left is not None}
        return torch.zeros(values).index_copy_(0, places, mean), kept

    def places(self, values: int, seed: int) -> Tensor:
        """Return the places `(k,)` of the numbers that are sent, of so many, drawn from `seed` alone."""
        return torch.randperm(values, generator=torch.Generator().manual_seed(seed))[: _kept(self.share, values)]

    def _split(self, vector: Tensor, memory: Tensor | None, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what is sent `(k,)`, and what is kept `(values,)`."""
        vector = with_residual(vector, memory)
        sent = vector[places]
        if not vector.isfinite().all():  # wherever it is, it must be seen
            sent = torch.full_like(sent, float("nan"))
        if not self.feedback:
            return sent * (len(vector) / len(places)), None
        return sent, vector.index_fill(0, places, 0)


def _check_share(share: float) -> None:
    if not 0 < real(share, "share") <= 1:
        raise ValueError(f"share={share} must be above 0 and at most 1: 0.01 sends one number in a hundred")


def _kept(share: float, values: int) -> int:
    return max(1, round(share * values))
