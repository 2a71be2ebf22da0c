"""Search: images whose message would be the one that was captured.

Deep leakage from gradients (Zhu et al. 2019, arXiv 1906.08935, algorithm 1), with known labels iDLG (Zhao et al. 2020, arXiv
2001.02610, algorithm 1), and inverting gradients (Geiping et al. 2020, arXiv 2003.14053, equation 4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from course_lib.adversary.leakage.victim import Victim
from course_lib.learning import keys

_Run = Callable[[torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Reconstruction:
    """What an attack found: `images: (b, *shape)` and `labels: (b,)` of the restart with the lowest `loss`.

    `tried`: each restart's loss and images, in order; a loss is infinite where the search broke. The choice goes by the loss
    alone, since an attacker has no truth to look at.
    """

    images: Tensor
    labels: Tensor
    loss: float
    tried: tuple[tuple[float, Tensor], ...]


def squared(made: Tensor, message: Tensor) -> Tensor:
    """Return the squared distance of two messages as a share of the message's own square: DLG's loss, free of scale."""
    return (made - message).square().sum() / message.square().sum()


def cosine(made: Tensor, message: Tensor) -> Tensor:
    """Return 1 - cosine of the angle between two messages, which their lengths do not change."""
    return 1 - cosine_similarity(made, message, dim=0)


def total_variation(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels, down plus across, of images `(b, channels, h, w)`."""
    return images.diff(dim=-2).abs().mean() + images.diff(dim=-1).abs().mean()


def dlg(
    victim: Victim, message: Tensor, batch: int = 1, labels: Tensor | None = None, *, restarts: int = 1, seed: int = 0,
    iterations: int = 200,
) -> Reconstruction:  # fmt: skip
    """Search with L-BFGS on the squared distance; labels are searched for as well, unless `labels: (b,)` are known (iDLG).

    Differs from the authors' code in a line search (strong Wolfe) and in dividing by the message's square. Pixels start
    uniform in [0, 1] and are cut to it in the end. Raises ValueError as `invert` does.
    """
    _check(message, restarts, batch, labels)

    def run(chance: torch.Generator) -> tuple[Tensor, Tensor]:
        images = torch.rand(batch, *victim.shape, generator=chance).requires_grad_()
        scores = torch.randn(batch, _classes(victim), generator=chance).requires_grad_()
        searched = [images] if labels is not None else [images, scores]
        optimiser = torch.optim.LBFGS(
            searched, max_iter=iterations, max_eval=2 * iterations, history_size=50, line_search_fn="strong_wolfe",
            tolerance_grad=1e-12, tolerance_change=1e-14,
        )  # fmt: skip

        def closure() -> Tensor:
            loss = squared(victim.message(images, labels if labels is not None else scores.softmax(1)), message)
            for part, slope in zip(searched, torch.autograd.grad(loss, searched), strict=True):
                part.grad = slope
            return loss.detach()

        optimiser.step(closure)
        return images.detach().clamp(0, 1), labels if labels is not None else scores.detach().softmax(1)

    return _best(victim, message, run, squared, restarts, seed)


def invert(
    victim: Victim, message: Tensor, labels: Tensor, *, restarts: int = 1, seed: int = 0, iterations: int = 300,
    rate: float = 0.1, variation: float = 1e-4,
) -> Reconstruction:  # fmt: skip
    """Search with Adam on the signs of the slopes, for the direction of the message and smooth images; `labels: (b,)` are known.

    `rate` falls to a tenth after 3/8, 5/8 and 7/8 of the iterations, as in the authors' code; `variation`: the weight of total
    variation. Pixels stay in [0, 1]. Raises ValueError for fewer than one restart or image, for labels that are not `(b,)`,
    and for a message that is not finite or all zeros.
    """
    batch = len(labels)
    _check(message, restarts, batch, labels)

    def run(chance: torch.Generator) -> tuple[Tensor, Tensor]:
        images = torch.rand(batch, *victim.shape, generator=chance).requires_grad_()
        optimiser = torch.optim.Adam([images], lr=rate)
        falls = [int(iterations * share) for share in (3 / 8, 5 / 8, 7 / 8)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.1)
        for _ in range(iterations):
            loss = cosine(victim.message(images, labels), message)
            if variation:
                loss = loss + variation * total_variation(images)
            (slope,) = torch.autograd.grad(loss, [images])
            images.grad = slope.sign()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        return images.detach(), labels

    return _best(victim, message, run, cosine, restarts, seed)


def _best(
    victim: Victim, message: Tensor, run: _Run, distance: Callable[[Tensor, Tensor], Tensor], restarts: int, seed: int
) -> Reconstruction:
    tried = []
    for restart in range(restarts):
        images, found = run(keys.generator(seed, "leakage", restart))
        loss = float(distance(victim.message(images, found, differentiable=False), message))
        tried.append((loss if isfinite(loss) else inf, images, found if found.dim() == 1 else found.argmax(1)))
    loss, images, found = min(tried, key=lambda one: one[0])
    return Reconstruction(images, found, loss, tuple((lost, own) for lost, own, _ in tried))


def _classes(victim: Victim) -> int:
    with torch.no_grad():
        return int(victim.module(torch.zeros(1, *victim.shape)).shape[1])


def _check(message: Tensor, restarts: int, batch: int, labels: Tensor | None) -> None:
    if restarts < 1 or batch < 1:
        raise ValueError(f"restarts={restarts} and batch={batch} must be at least 1")
    if labels is not None and labels.shape != (batch,):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, but batch={batch}: give one label an image")
    if not bool(torch.isfinite(message).all()) or not bool(message.any()):
        raise ValueError("the message holds NaN or infinity, or nothing but zeros: there is nothing to search for")
