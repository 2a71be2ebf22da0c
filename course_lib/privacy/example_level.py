"""DP-SGD (Abadi et al. 2016, arXiv 1607.00133, algorithm 1): nobody can tell from the weights whether one example was there.

A batch holds each example with the same probability, each example's gradient is clipped, noise is added to their sum, and the
sum is divided by a fixed number. All four are what the accountant assumes: a shuffled batch, a clipped mean or the batch's
real size as the denominator would each make its epsilon wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor, nn

from course_lib.learning import keys
from course_lib.learning.sgd import FlatModel
from course_lib.privacy.per_example import clipped_sum

Key = tuple[int | str, ...]


@dataclass(frozen=True)
class ExampleLevel:
    """How a local step is made private.

    `noise_multiplier`: standard deviation of the noise on the sum of gradients, in clipping norms; `clipping_norm`: the
    largest norm that one example's gradient keeps; `sample_rate`: the probability with which each example is in a batch, the
    same for every client, so that one ledger holds for all of them.

    Raises ValueError for a setting out of range, and for noise without a finite clipping norm. The noise is drawn from
    torch's generator, which is not safe against somebody who can guess its seed: a real deployment needs secret randomness.
    """

    noise_multiplier: float
    clipping_norm: float
    sample_rate: float

    def __post_init__(self) -> None:
        check(self.noise_multiplier, self.clipping_norm)
        if not 0 < self.sample_rate <= 1:
            raise ValueError(
                f"sample_rate={self.sample_rate} must be above 0 and at most 1: the expected batch size / the examples"
            )

    @property
    def steps_an_epoch(self) -> int:
        """How many batches hold as many examples as there are, on average: rounded, for int(1 / (1 / 93)) is 92."""
        return max(1, round(1 / self.sample_rate))

    def batch(self, examples: int, step: int, key: Key) -> Tensor:
        """Return the indices in batch number `step`, which may be none."""
        draws = torch.rand(examples, generator=keys.generator(*key, "poisson", step))
        return (draws < self.sample_rate).nonzero().squeeze(1)

    def gradient(self, model: FlatModel, x: Tensor, y: Tensor, expected: float, generator: torch.Generator) -> Tensor:
        """Return the private gradient `(d,)` of the batch `x`, `y`: the clipped sum and its noise, over `expected`.

        `expected`: the batch size to be expected, never the real one, which would tell whether an example is in it.
        """
        return private_gradient(model, x, y, self.noise_multiplier, self.clipping_norm, expected, generator)

    def train(
        self, model: FlatModel, x: Tensor, y: Tensor, learning_rate: float, first_step: int, steps: int, key: Key,
        correction: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Train `model` in place on the shard `x`, `y` and return what changed, `delta: (d,)`, as `sgd.local_update` does.

        Batches and noise are drawn from (key, step). A batch without examples is a step like any other: noise alone.
        `correction(theta)` is added to the gradient, and must not depend on the shard.
        """
        refuse_batch_norm(model.module)
        before, expected = model.theta.clone(), self.sample_rate * len(y)
        for step in range(first_step, first_step + steps):
            chosen = self.batch(len(y), step, key)
            gradient = self.gradient(model, x[chosen], y[chosen], expected, keys.generator(*key, "noise", step))
            if correction is not None:
                gradient += correction(model.theta)
            model.theta.add_(gradient, alpha=-learning_rate)
        return model.theta - before


def private_gradient(
    model: FlatModel, x: Tensor, y: Tensor, noise_multiplier: float, clipping_norm: float, expected: float,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Return the clipped, noised and averaged gradient `(d,)` of one batch. Raises ValueError unless `expected` is above 0."""
    if not 0 < expected < inf:
        raise ValueError(
            f"expected={expected} must be above 0: the sample rate x the examples, fixed for the whole run"
        )
    total = clipped_sum(model, x, y, clipping_norm)
    if noise_multiplier:
        total.add_(torch.randn(len(total), generator=generator), alpha=noise_multiplier * clipping_norm)
    return total.div_(expected)


def check(noise_multiplier: float, clipping_norm: float) -> None:
    """Raise ValueError unless these make a Gaussian mechanism, or none at all."""
    if not 0 <= noise_multiplier < inf:
        raise ValueError(f"noise_multiplier={noise_multiplier} must be a number of 0 or more, for example 1.0")
    if not clipping_norm > 0:
        raise ValueError(f"clipping_norm={clipping_norm} must be above 0, for example 1.0")
    if noise_multiplier and not isfinite(clipping_norm):
        raise ValueError(
            f"clipping_norm={clipping_norm} with noise_multiplier={noise_multiplier}: noise is measured in clipping norms, so "
            "give a finite one"
        )


def refuse_batch_norm(module: nn.Module) -> None:
    """Raise ValueError for BatchNorm: through it, one example changes the gradients of all others."""
    mixing = [
        (name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    if mixing:
        raise ValueError(
            f"layer {mixing[0][0]!r} is a {type(mixing[0][1]).__name__}, which mixes the examples of a batch, so that none has "
            "a gradient of its own: use GroupNorm or LayerNorm"
        )
