"""Messages made smaller. One interface, for a client's update and for a worker's gradient.

What packing loses is not lost for good: with error feedback it is kept by the sender and added to its next vector (Seide et
al. 2014; Karimireddy et al. 2019, arXiv 1901.09847).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Compression(Protocol):
    """Packs a vector of `values` numbers into bytes, and unpacks them again."""

    def size(self, values: int) -> int:
        """Return how many bytes a vector of so many numbers is packed into."""
        ...

    def pack(self, vector: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `vector + residual`, packed: uint8 `(bytes,)`; and what was lost, to be handed in with the next vector."""
        ...

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        """Return the vector `(values,)` that the bytes stand for."""
        ...


@dataclass(frozen=True)
class Quantise:
    """Eight bits a number: its nearest multiple of the largest one / 127, so at most half of that is lost on each.

    `feedback`: keep what is lost for the next vector. A vector with NaN or infinity is unpacked as NaN.
    `stochastic`: round up or down at random, so that each number is right on average (Alistarh et al. 2017, arXiv 1610.02132);
    up to a whole multiple is then lost on each. The draws come from torch's generator, which a run seeds for each client and round.
    """

    feedback: bool = False
    stochastic: bool = False

    def size(self, values: int) -> int:
        return 4 + values

    def pack(self, vector: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        vector = vector if residual is None else vector + residual
        scale = vector.abs().max().reshape(1) / 127
        steps = torch.nan_to_num(vector / scale)
        steps = (steps + torch.rand(len(steps))).floor() if self.stochastic else steps.round()
        steps = steps.clamp(-127, 127).to(torch.int8)
        packed = torch.cat([scale.view(torch.uint8), steps.view(torch.uint8)])
        return packed, vector - self.unpack(packed, len(vector)) if self.feedback else None

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        return packed[4:].view(torch.int8) * packed[:4].clone().view(torch.float32)


@dataclass(frozen=True)
class TopK:
    """Only the `share` of all numbers that are largest in size, with their places: 8 bytes each (Aji and Heafield 2017, arXiv
    1704.05021).

    `feedback`: keep what is not sent for the next vector. Raises ValueError for a share outside (0, 1].
    """

    share: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1: 0.01 sends one number in a hundred")

    def size(self, values: int) -> int:
        return 8 * self._kept(values)

    def pack(self, vector: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        vector = vector if residual is None else vector + residual
        # topk counts NaN as the largest, so one NaN makes the message one.
        places = vector.abs().topk(self._kept(len(vector))).indices.sort().values
        packed = torch.cat([places.to(torch.int32).view(torch.uint8), vector[places].view(torch.uint8)])
        if not self.feedback:
            return packed, None
        left = vector.clone()
        left[places] = 0
        return packed, left

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        half = len(packed) // 2
        places = packed[:half].clone().view(torch.int32).long()
        if ((places < 0) | (places >= values)).any():
            # Whoever sent this did not pack it; the server leaves out what is not a number.
            return torch.full((values,), float("nan"))
        vector = torch.zeros(values)
        vector[places] = packed[half:].clone().view(torch.float32)
        return vector

    def _kept(self, values: int) -> int:
        return max(1, round(self.share * values))
