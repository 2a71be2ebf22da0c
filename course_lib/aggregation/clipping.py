"""Rules that leave every client in and bound what each can do: norm bounding and centred clipping."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from course_lib.aggregation.rule import Rule


@dataclass(frozen=True)
class NormBounding(Rule):
    """The mean of vectors shortened to the length `bound` where they are longer (Sun et al. 2019, arXiv 1911.07963).

    It does not tell attackers from others: each moves the result by at most bound / n. Asked for 2 f < n, so that they
    are outnumbered. An infinite bound is the mean. Raises ValueError for a bound that is not positive.
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_radius("bound", self.bound)

    def __call__(self, vectors: Tensor, **given: Any) -> Tensor:
        finite = self.finite(vectors)
        return _clipped_mean(vectors, finite, torch.zeros(vectors.shape[1], dtype=torch.float64), self.bound).float()


@dataclass(frozen=True)
class CentredClipping(Rule):
    """The mean of vectors drawn to within `radius` of a centre (Karimireddy et al. 2021, arXiv 2012.10333).

    v <- v + (1/n) sum of (x_i - v) min(1, radius / |x_i - v|), `passes` times. `start` is where v begins: the last
    round's result, so that history counts; zeros in the first round. Each attacker moves v by at most radius / n a
    pass. Asked for 2 f < n. The paper pairs it with client momentum. Raises ValueError for a radius that is not
    positive or no pass.
    """

    radius: float = 1.0
    passes: int = 1

    needs: ClassVar[tuple[str, ...]] = ("start",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_radius("radius", self.radius)
        if self.passes < 1:
            raise ValueError(f"passes={self.passes} must be at least 1")

    def __call__(self, vectors: Tensor, start: Tensor | None = None, **given: Any) -> Tensor:
        finite = self.finite(vectors)
        if start is not None and (start.shape != vectors.shape[1:] or not torch.isfinite(start).all()):
            raise ValueError(
                f"start of shape {tuple(start.shape)} must be {vectors.shape[1]} finite numbers: the last result"
            )
        centre = torch.zeros(vectors.shape[1], dtype=torch.float64) if start is None else start.double()
        for _ in range(self.passes):
            centre = _clipped_mean(vectors, finite, centre, self.radius)
        return centre.float()


def _clipped_mean(vectors: Tensor, finite: Tensor, centre: Tensor, radius: float) -> Tensor:
    total = torch.zeros_like(centre)
    for row in vectors[finite]:  # the others have no direction to go in: they count as standing at the centre
        step = row - centre
        total.add_(step, alpha=min(1.0, radius / max(float(step.norm()), 1e-300)))
    return centre + total / len(vectors)


def _refuse_radius(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value} must be above 0: about the length of an honest update")
