"""The course's models, each sized from the data set's shape.

None but `normalised`, which is for FedBN, has BatchNorm: its statistics leak between examples, differ between clients and
rule out per-example gradients.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from course_lib import seeds, text_models

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


def logistic() -> ModelSpec:
    """Multinomial logistic regression: one linear layer."""
    return ModelSpec("logistic", _logistic)


def mlp(hidden: tuple[int, ...] = (200, 200)) -> ModelSpec:
    """A multilayer perceptron with ReLU; by default the 2NN of McMahan et al. 2017 (arXiv 1602.05629, section 3)."""
    if not hidden or any(width < 1 for width in hidden):
        raise ValueError(f"hidden={hidden} must be one or more layer widths of at least 1; models.logistic() has none")
    return ModelSpec("mlp", partial(_mlp, hidden=tuple(hidden)))


def lenet() -> ModelSpec:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling: 61,706 weights for 28 x 28 grey images."""
    return ModelSpec("lenet", _lenet)


def cnn() -> ModelSpec:
    """The CNN of McMahan et al. 2017 (arXiv 1602.05629, section 3): 1,663,370 weights for 28 x 28 grey images."""
    return ModelSpec("cnn", _cnn)


def normalised(width: int = 64) -> ModelSpec:
    """One hidden layer with BatchNorm before it and in it, for `federated.personalisation.FedBN`."""
    return ModelSpec("normalised", partial(_normalised, width=width))


def causal(width: int = 16, hidden: int = 64) -> ModelSpec:
    """A small causal convolutional net that scores the next character: 23,605 weights for the keyboard data set.

    `width`: numbers that stand for a character. Learning rates near 0.1 suit it at batch 10.
    """
    if width < 1 or hidden < 1:
        raise ValueError(f"width={width} and hidden={hidden} must be at least 1, for example 16 and 64")
    return ModelSpec("causal", partial(text_models.causal, width=width, hidden=hidden))


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


def _logistic(shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))


def _mlp(shape: Shape, classes: int, hidden: tuple[int, ...]) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for next_width in hidden:
        layers += [nn.Linear(width, next_width), nn.ReLU()]
        width = next_width
    return nn.Sequential(*layers, nn.Linear(width, classes))


def _normalised(shape: Shape, classes: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(prod(shape)), nn.Linear(prod(shape), width), nn.BatchNorm1d(width), nn.ReLU(),
        nn.Linear(width, classes),
    )  # fmt: skip


def _lenet(shape: Shape, classes: int) -> nn.Module:
    channels, height, width = _image(shape, "lenet")
    # Images under 16 pixels a side would shrink to nothing, so there the second convolution is padded too.
    padding = 0 if min(height, width) >= 16 else 2
    rows, columns = ((side // 2 - 4 + 2 * padding) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * rows * columns, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def _cnn(shape: Shape, classes: int) -> nn.Module:
    channels, height, width = _image(shape, "cnn")
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64 * (height // 4) * (width // 4), 512), nn.ReLU(), nn.Linear(512, classes),
    )  # fmt: skip


def _image(shape: Shape, name: str) -> Shape:
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ValueError(
            f"models.{name}() needs images (channels, height, width) of at least 4 x 4 pixels, got examples of shape "
            f"{shape}: use models.mlp() or models.logistic()"
        )
    return shape
