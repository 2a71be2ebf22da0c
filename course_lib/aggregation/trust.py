"""FLTrust: the server trusts those who agree with an update of its own."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from course_lib.aggregation.rule import Rule


@dataclass(frozen=True)
class FLTrust(Rule):
    """The mean of updates brought to the reference's length, weighted by trust.

    Source: Cao et al. 2021 (arXiv 2012.13995, algorithm 2). `reference: (d,)` is the update of the server itself,
    trained on a small clean data set of its own. Trust is the cosine with it, or 0 where that is negative. No majority
    is asked for, but one honest client: f < n. Where nobody is trusted the result is zeros: the round changes nothing.
    Raises ValueError for a reference that is missing, not finite or of another length.
    """

    needs: ClassVar[tuple[str, ...]] = ("reference",)
    _for_each: ClassVar[int] = 1

    def __call__(self, vectors: Tensor, reference: Tensor | None = None, **given: Any) -> Tensor:
        trust = self.trust(vectors, reference)
        assert reference is not None  # or `trust` had raised
        length, total = float(reference.double().norm()), torch.zeros(vectors.shape[1], dtype=torch.float64)
        for row, share in zip(vectors, (trust / max(float(trust.sum()), 1e-300)).tolist(), strict=True):
            if share:
                total.add_(row, alpha=share * length / float(row.double().norm()))
        return total.float()

    def trust(self, vectors: Tensor, reference: Tensor | None) -> Tensor:
        """Return the trust in each of `vectors: (n, d)`, from 0 to 1: `(n,)` in double precision."""
        finite = self.finite(vectors)
        if reference is None or reference.shape != vectors.shape[1:] or not torch.isfinite(reference).all():
            raise ValueError(
                f"FLTrust needs reference, the server's own update of {vectors.shape[1]} finite numbers: train on data "
                "of its own"
            )
        towards = reference.double()
        trust = torch.zeros(len(vectors), dtype=torch.float64)
        for index in finite.nonzero().flatten().tolist():
            row = vectors[index].double()
            lengths = float(row.norm()) * float(towards.norm())
            trust[index] = max(0.0, float(row @ towards) / lengths) if lengths else 0.0
        return trust
