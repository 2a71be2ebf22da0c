"""One bit a number, and the majority decides."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.compression import bits
from course_lib.compression.interface import Compression, checked, received
from course_lib.settings import real


@dataclass(frozen=True)
class Sign(Compression):
    """Only whether each number is above or below zero; together, everybody goes where the majority points (signSGD with majority
    vote, Bernstein et al. 2018, arXiv 1802.04434). Every participant then counts alike.

    One bit a number, and one more that says whether all numbers were finite. `scale`: what a sign stands for, above 0; under
    plain gradients the learning rate does as well, for updates choose about the size of one. A zero, and a tie, goes by a coin:
    if it always went up, weights would drift. Raises ValueError for a scale that is not above 0 and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < real(self.scale, "scale") < float("inf"):
            raise ValueError(f"scale={self.scale} must be above 0 and finite: it is what each sign stands for")

    def size(self, values: int) -> int:
        return values // 8 + 1

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        checked(vector, least=0)  # a slice of a short vector may be empty
        up = (vector > 0) | ((vector == 0) & (torch.rand(len(vector)) < 0.5))
        broken = ~vector.isfinite().all().reshape(1)
        return bits.to_bytes(torch.cat([up, broken])), None

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        flags = bits.from_bytes(received(packed, self.size(values)), values + 1)
        signs = torch.where(flags[:values], self.scale, -self.scale)
        return torch.full_like(signs, float("nan")) if flags[values] else signs

    def vote(self, tally: Tensor, coins: Tensor) -> Tensor:
        """Return where the majority points `(values,)`, from the sum or mean of everybody's signs; `coins`: truth values that
        decide ties."""
        # A quotient, because torch's sign of NaN is 0.
        return self.scale * torch.where(tally == 0, torch.where(coins, 1.0, -1.0), tally / tally.abs())
