"""The attack that knows the rule is Krum, and everybody's updates: as far back as Krum still takes it."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from course_lib.adversary.setting import Setting
from course_lib.aggregation import weighted_mean
from course_lib.aggregation.distances import squared_distances
from course_lib.aggregation.krum import krum_ranking

_SMALLEST = 1e-5


@dataclass(frozen=True)
class AgainstKrum:
    """All attackers send -lambda x the signs of the mean (Fang et al. 2020, arXiv 1911.11815, section 3.2).

    lambda begins at `largest_lambda` and is halved until Krum takes the crafted vector, or it is below 1e-5. Raises
    ValueError where the attackers do not see the others' updates, or are too many for Krum: n <= 2 f + 2.
    """

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the same vector for all attackers, `(f, m)`."""
        if setting.benign is None:
            raise ValueError(
                "AgainstKrum tries out what Krum takes, so it must see all updates: Attack(omniscient=True)"
            )
        back = -weighted_mean(setting.benign, [1.0] * len(setting.benign)).sign()
        strength = largest_lambda(setting.benign, setting.f)
        while strength >= _SMALLEST:
            crafted = (strength * back).repeat(setting.f, 1)
            sent = torch.cat([crafted, setting.benign])
            if krum_ranking(squared_distances(sent), setting.f)[0] < setting.f:
                return crafted
            strength /= 2
        return (strength * back).repeat(setting.f, 1)


def largest_lambda(benign: Tensor, f: int) -> float:
    """Return the lambda above which Krum cannot take the crafted vector, for `benign: (n - f, m)` (theorem 1).

    A crafted vector has f - 1 twins at distance 0, so n - f - 2 - (f - 1) = n - 2 f - 1 of its neighbours are benign:
    that is by what the sum is divided, with n counting everybody. Copies that put the benign ones alone there in place
    of n are wrong.
    """
    n, m = len(benign) + f, benign.shape[1]
    if n <= 2 * f + 2:
        raise ValueError(f"f={f} of n={n} are too many for Krum, which needs n > 2 f + 2: there is nothing to craft")
    others = squared_distances(benign).fill_diagonal_(torch.inf).sort(dim=1).values
    best = float(others[:, : n - f - 2].sum(1).min())
    longest = float(torch.stack([row.double().norm() for row in benign]).max())
    return sqrt(best / ((n - 2 * f - 1) * m)) + longest / sqrt(m)
