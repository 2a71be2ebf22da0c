"""A small victim for the attacks: 8 x 8 digits, a small 2NN, and what it sends."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib import data, models
from course_lib.adversary.leakage import Victim
from course_lib.data import Dataset

TRAIN: Dataset = data.load("digits")[0]
MLP = models.mlp((32, 16))


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def victim(seed: int = 0, rate: float | None = None, epochs: int = 1, batch_size: int | None = None) -> Victim:
    module = MLP.build(TRAIN.shape, 10, seed)
    return Victim(module, weights(module), TRAIN.shape, rate, epochs, batch_size)


def gradient(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Backpropagation as anybody would write it, independent of the library's."""
    module.zero_grad()
    functional.cross_entropy(module(x), y).backward()
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None])
