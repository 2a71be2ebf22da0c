"""What a model is before it is sized, and what a run asks of one."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib import seeds

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelSpec:
    """A model still to be sized: `make(shape, classes)` returns the `nn.Module` for examples of that shape."""

    name: str
    make: Callable[[Shape, int], nn.Module]

    def build(self, shape: Shape, classes: int, seed: int = 0) -> nn.Module:
        """Return the model with initial weights drawn from `seed` alone; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.seed(seed))
            return self.make(tuple(shape), classes)


def check_output(model: nn.Module, shape: Shape, classes: int, *, batch_norm: bool = False) -> None:
    """Raise ValueError unless `model` has weights and turns a batch `(2, *shape)` into scores `(2, classes)`.

    `batch_norm`: whether BatchNorm is allowed.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"{type(model).__name__} has no weights to train: give it at least one layer with parameters")
    for name, parameter in model.named_parameters():
        if parameter.dtype != torch.float32:
            raise ValueError(
                f"{type(model).__name__}: {name} is {parameter.dtype}, but weights travel as torch.float32: call model.float()"
            )
    sparse = [name for name, layer in model.named_modules() if getattr(layer, "sparse", False)]
    if sparse:
        raise ValueError(
            f"{type(model).__name__}: layer {sparse[0]} makes sparse gradients: build it with sparse=False"
        )
    normed = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if normed and not batch_norm:
        raise ValueError(
            f"{type(model).__name__} holds a {type(normed[0]).__name__}, whose running statistics are not weights and "
            "would differ between workers: use GroupNorm or LayerNorm, or keep them with their client by FedBN"
        )
    try:
        with torch.no_grad():
            scores = deepcopy(model).eval()(torch.zeros(2, *shape))  # a copy: BatchNorm would count the zeros
    except RuntimeError as error:
        raise ValueError(f"{type(model).__name__} does not accept examples of shape {shape}: {error}") from error
    if not isinstance(scores, Tensor) or scores.shape != (2, classes):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f"{type(model).__name__} returns {got} for a batch of 2, but the data has {classes} classes: "
            f"make its last layer return (batch, {classes})"
        )
