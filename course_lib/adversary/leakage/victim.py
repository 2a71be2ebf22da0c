"""What an attacker takes for granted of its victim, and what the victim would then send for given images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from course_lib.adversary.leakage.wire import received
from course_lib.learning.sgd import steps_an_epoch

if TYPE_CHECKING:
    from course_lib.rounds.run import Run


@dataclass(frozen=True, eq=False)
class Victim:
    """A client as the attacker imagines it: the model, the weights `theta: (d,)` that it was sent, the images' shape.

    Without `rate` it sends one gradient. With it, it takes as many SGD steps as `epochs` passes need and sends the update.
    `batch_size`: images a step, None for all; the attacker does not know their order, and takes them for the same in each pass.
    Loss (cross-entropy), rate, epochs, batch size and number of images are all assumptions: a wrong one spoils the attack.
    Raises ValueError for weights of another length than the model's.
    """

    module: nn.Module
    theta: Tensor
    shape: tuple[int, ...]
    rate: float | None = None
    epochs: int = 1
    batch_size: int | None = None

    def __post_init__(self) -> None:
        total = sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)
        if self.theta.shape != (total,):
            raise ValueError(f"theta has shape {tuple(self.theta.shape)}, but the model has {total} weights")
        if self.epochs < 1 or (self.rate is None and (self.epochs > 1 or self.batch_size is not None)):
            raise ValueError(
                f"epochs={self.epochs} and batch_size={self.batch_size} need a rate: without one a gradient is sent"
            )

    @classmethod
    def of(cls, run: "Run", client: int, shape: tuple[int, ...], round: int = 1) -> "Victim":
        """Return a client of a run as the server knows it, by the plan: it wrote the plan and sent the weights.

        Raises ValueError for a plan with `local_steps` of part of the images, and as `received` does.
        """
        plan, theta = run.plan, received(run, client, round)
        if plan.sends == "gradient":
            return cls(run.model, theta, shape)
        if plan.local_steps is not None and plan.batch_size is not None:
            raise ValueError(
                f"local_steps={plan.local_steps} with batch_size={plan.batch_size}: give epochs, or batch_size=None"
            )
        passes = plan.local_epochs or plan.local_steps or 1
        return cls(run.model, theta, shape, plan.learning_rate, passes, plan.batch_size)

    def steps(self, images: int) -> int:
        """Return how many SGD steps the client takes on so many images, 1 where it sends a gradient."""
        return self.epochs * steps_an_epoch(images, self.batch_size)

    def gradient(self, message: Tensor, images: int) -> Tensor:
        """Return the mean gradient `(d,)` of the steps behind a message: itself, or an update divided by -rate and steps."""
        return message if self.rate is None else message / (-self.rate * self.steps(images))

    def message(self, x: Tensor, y: Tensor, *, differentiable: bool = True) -> Tensor:
        """Return what the client would send `(d,)` for images `x: (b, *shape)` and labels `y`: `(b,)`, or shares `(b, classes)`.

        The local steps are unrolled, so that the result can be differentiated by `x` and `y` (Geiping et al. 2020, section 6).
        """
        weights, total = self._weights(), torch.zeros_like(self.theta)
        size = self.batch_size or len(x)
        for step in range(self.steps(len(x))):
            start = step % steps_an_epoch(len(x), self.batch_size) * size
            loss = functional.cross_entropy(
                functional_call(self.module, dict(weights), (x[start : start + size],)), y[start : start + size]
            )
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=differentiable)
            # Slopes are added up: weights minus weights would lose most digits of a small update.
            total = total + torch.cat([slope.flatten() for slope in slopes])
            if self.rate is not None:
                weights = {name: own - self.rate * g for (name, own), g in zip(weights.items(), slopes, strict=True)}
                if not differentiable:
                    weights = {name: own.detach().requires_grad_() for name, own in weights.items()}
        return total if self.rate is None else -self.rate * total

    def _weights(self) -> Mapping[str, Tensor]:
        named = [(name, parameter) for name, parameter in self.module.named_parameters() if parameter.requires_grad]
        parts = self.theta.split([parameter.numel() for _, parameter in named])
        return {
            name: part.reshape(parameter.shape).clone().requires_grad_()
            for (name, parameter), part in zip(named, parts, strict=True)
        }
