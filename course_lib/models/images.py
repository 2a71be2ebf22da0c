"""Models of images and tables, each sized from the data set's shape.

None but `normalised`, which is for FedBN, has BatchNorm: its statistics leak between examples, differ between clients and
rule out per-example gradients.
"""

from functools import partial
from math import prod

from torch import nn

from course_lib.models.spec import ModelSpec, Shape


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
