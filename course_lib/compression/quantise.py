"""Every number in fewer bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.compression import bits as packing
from course_lib.compression.interface import Compression, received, with_residual


@dataclass(frozen=True)
class Quantise(Compression):
    """Eight bits a number, or one.

    `bits=8`: the nearest multiple of the largest one / 127, so at most half of that is lost on each. `bits=1`: whether it is below
    zero; what is unpacked is the mean of the numbers on its side of zero (Seide et al. 2014, "1-bit stochastic gradient descent").
    `feedback`: keep what is lost for the next vector. A vector with NaN or infinity is unpacked as NaN.
    `stochastic`: round up or down at random, so that each number is right on average (Alistarh et al. 2017, arXiv 1610.02132);
    up to a whole multiple is then lost on each, and one bit says the smallest or the largest number (Suresh et al. 2017, arXiv
    1611.00429). The draws come from torch's generator, which a run seeds for each client and round.
    Raises ValueError for another number of bits, and for feedback on one bit at random: that loses more than there is to send,
    and what is kept would grow without end.
    """

    feedback: bool = False
    stochastic: bool = False
    bits: int = 8

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or self.bits not in (1, 8):
            raise ValueError(f"bits={self.bits!r} must be 8 or 1")
        if self.bits == 1 and self.stochastic and self.feedback:
            raise ValueError(
                "bits=1, stochastic=True and feedback=True do not go together: one bit at random loses more than there is to "
                "send, and what is kept for later would grow without end. Leave out one of them"
            )

    def size(self, values: int) -> int:
        return 4 + values if self.bits == 8 else 8 + (values + 7) // 8

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        vector = with_residual(vector, memory)
        packed = self._in_eight_bits(vector) if self.bits == 8 else self._in_one_bit(vector)
        return packed, vector - self.unpack(packed, len(vector)) if self.feedback else None

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        packed = received(packed, self.size(values))
        if self.bits == 8:
            return packed[4:].view(torch.int8) * packed[:4].clone().view(torch.float32)
        low, high = packed[:8].clone().view(torch.float32).unbind()
        return torch.where(packing.from_bytes(packed[8:], values), high, low)

    def _in_eight_bits(self, vector: Tensor) -> Tensor:
        scale = vector.abs().max().reshape(1) / 127
        steps = torch.nan_to_num(vector / scale)
        steps = (steps + torch.rand(len(steps))).floor() if self.stochastic else steps.round()
        steps = steps.clamp(-127, 127).to(torch.int8)
        return torch.cat([scale.view(torch.uint8), steps.view(torch.uint8)])

    def _in_one_bit(self, vector: Tensor) -> Tensor:
        exact = vector.double()  # sums and differences of large numbers would leave float32
        if self.stochastic:
            low, high = exact.min(), exact.max()
            up = torch.rand(len(vector)) < torch.nan_to_num((exact - low) / (high - low))
        else:
            up = vector >= 0
            low, high = (side.mean() if len(side) else torch.zeros(()) for side in (exact[~up], exact[up]))
        levels = torch.stack([low, high]).float()
        if not exact.isfinite().all():
            levels.fill_(float("nan"))
        return torch.cat([levels.view(torch.uint8), packing.to_bytes(up)])
