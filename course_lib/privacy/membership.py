"""Was this example in the training data? Two attacks that answer it from a model's scores, and how well they do.

The loss threshold says yes where the model fits an example well (Yeom et al. 2018, arXiv 1709.01604). LiRA asks how well
models that did and did not see that very example fit it (Carlini et al. 2022, arXiv 2112.03570, algorithm 1): what counts is
the share of members found at few false alarms, so look at its ROC on logarithmic axes.
"""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.learning import keys
from course_lib.learning.evaluation import Interval

_NARROWEST = 1e-6  # a deviation of nothing would make one digit's difference a certainty


def losses(scores: Tensor, y: Tensor) -> Tensor:
    """Return minus the cross-entropy `(n,)` of a model's scores `(n, classes)`: the larger, the more likely a member."""
    return -functional.cross_entropy(scores, y, reduction="none")


def confidences(scores: Tensor, y: Tensor) -> Tensor:
    """Return log(p / (1 - p)) `(n,)` of the label's probability p, from scores `(n, classes)`: close to a Gaussian over models.

    Carlini et al. 2022, section 4.3. Worked out from scores, for 1 - p of a sure model is 0 in 32 bits.
    """
    exact = scores.double()
    others = exact.scatter(1, y[:, None], float("-inf")).logsumexp(1)
    return exact.gather(1, y[:, None]).squeeze(1) - others


def deal(examples: int, shadows: int, seed: int) -> Tensor:
    """Return which shadow model trains on which example, bool `(shadows, examples)`: each example is in half of them.

    Raises ValueError for an odd number of shadow models, or none.
    """
    if shadows < 2 or shadows % 2:
        raise ValueError(f"shadows={shadows} must be even and at least 2: each example is in one half of the models")
    order = torch.rand(shadows, examples, generator=keys.generator(seed, "shadow models")).argsort(0)
    return order < shadows // 2


def lira(target: Tensor, shadows: Tensor, inside: Tensor, *, fixed_variance: bool = False) -> Tensor:
    """Return the likelihood-ratio scores `(n,)` of online LiRA: log N(target | in) - log N(target | out).

    `target`: the attacked model's confidences `(n,)`; `shadows`: those of the shadow models `(k, n)`; `inside`: who saw what
    `(k, n)`. `fixed_variance`: one variance for all examples, which the paper advises for fewer than 64 shadow models.
    """
    _check(target, shadows, inside)
    log_ratio = torch.zeros_like(target, dtype=torch.float64)
    for seen, sign in ((inside, 1), (~inside, -1)):
        mean, deviation = _fit(shadows, seen, fixed_variance)
        log_ratio += sign * torch.distributions.Normal(mean, deviation).log_prob(target.double())
    return log_ratio


def lira_offline(target: Tensor, shadows: Tensor, inside: Tensor, *, fixed_variance: bool = False) -> Tensor:
    """Return the scores `(n,)` of offline LiRA: how far the target's confidence lies above those of models without the example.

    They order examples as the paper's 1 - Pr[N(out) > target] does (equation 4), and do not round to 1 far out. Shapes as for
    `lira`; models that saw an example are not looked at for it.
    """
    _check(target, shadows, inside)
    mean, deviation = _fit(shadows, ~inside, fixed_variance)
    return (target.double() - mean) / deviation


class Roc(NamedTuple):
    """True against false positive rates, each `(points,)` and rising from 0 to 1, one point a distinct score."""

    fpr: Tensor
    tpr: Tensor


def roc(members: Tensor, others: Tensor) -> Roc:
    """Return the curve of an attack from its scores of members `(a,)` and of others `(b,)`; equal scores fall together."""
    scores = _scores(members, others)
    ordered, order = scores.sort(descending=True)
    is_member = (order < len(members)).double()
    last_of_equals = torch.cat([ordered[1:] != ordered[:-1], torch.tensor([True])])
    found, alarms = is_member.cumsum(0)[last_of_equals], (1 - is_member).cumsum(0)[last_of_equals]
    start = torch.zeros(1, dtype=torch.float64)
    return Roc(torch.cat([start, alarms / len(others)]), torch.cat([start, found / len(members)]))


def tpr_at(curve: Roc, fpr: float) -> float:
    """Return the share of members found by the loosest threshold with at most `fpr` false alarms (0 to 1), not interpolated."""
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr={fpr} must lie between 0 and 1, for example 0.001")
    return float(curve.tpr[curve.fpr <= fpr].max())


def auc(members: Tensor, others: Tensor, level: float = 0.95) -> Interval:
    """Return the probability that a member scores higher than another, ties counted as half, with its interval.

    The deviation is that of DeLong, DeLong and Clarke-Pearson (1988, doi 10.2307/2531595). It says nothing of what another
    target model would give: repeat with seeds for that. Raises ValueError for fewer than 2 of a kind.
    """
    if min(len(members), len(others)) < 2:
        raise ValueError(
            f"{len(members)} members and {len(others)} others are too few for an interval: give at least 2"
        )
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95")
    _scores(members, others)
    above_others, above_members = _placed(members, others), _placed(others, members)
    mean = float(above_others.mean())
    deviation = sqrt(float(above_others.var()) / len(members) + float(above_members.var()) / len(others))
    half = float(torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64))) * deviation
    return Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0), len(members) + len(others))


def _placed(values: Tensor, among: Tensor) -> Tensor:
    """Return the share of `among` that each value exceeds, equal ones counted as half."""
    ordered, values = among.double().sort().values, values.double()
    below = torch.searchsorted(ordered, values)
    not_above = torch.searchsorted(ordered, values, right=True)
    return (below + not_above).double() / (2 * len(among))


def _scores(members: Tensor, others: Tensor) -> Tensor:
    scores = torch.cat([members.double(), others.double()])
    if not len(members) or not len(others):
        raise ValueError(f"{len(members)} members and {len(others)} others: a curve needs some of both")
    if scores.isnan().any():
        raise ValueError("a score is not a number: an attack must give each example one")
    return scores


def _fit(values: Tensor, chosen: Tensor, fixed_variance: bool) -> tuple[Tensor, Tensor]:
    """Return the mean and deviation `(n,)` of the chosen values of each column, the deviation that of all where it is fixed."""
    exact, counts = torch.where(chosen, values.double(), 0.0), chosen.sum(0)
    mean = exact.sum(0) / counts
    squares = torch.where(chosen, (values.double() - mean) ** 2, 0.0)
    if fixed_variance:
        variance = (squares.sum() / (counts - 1).clamp(min=0).sum()).expand(len(mean))
    else:
        variance = squares.sum(0) / (counts - 1)
    return mean, variance.sqrt().clamp(min=_NARROWEST)


def _check(target: Tensor, shadows: Tensor, inside: Tensor) -> None:
    if shadows.dim() != 2 or shadows.shape != inside.shape or target.shape != shadows.shape[1:]:
        raise ValueError(
            f"target {tuple(target.shape)}, shadows {tuple(shadows.shape)} and inside {tuple(inside.shape)} must be (n,), (k, n) "
            "and (k, n) for n examples and k shadow models"
        )
    if inside.dtype != torch.bool:
        raise ValueError(f"inside is {inside.dtype}, but must say True or False of each shadow model and example")
    fewest = int(min(inside.sum(0).min(), (~inside).sum(0).min()))
    if fewest < 2:
        raise ValueError(
            f"an example is in, or out of, only {fewest} of {len(shadows)} shadow models, too few for a deviation: deal more"
        )
    if not (target.isfinite().all() and shadows.isfinite().all()):
        raise ValueError("a confidence is not finite: leave out models that broke, and clamp scores beyond 1e30")
