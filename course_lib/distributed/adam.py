"""Adam, plainly: torch's own brings a compiler along on its first step, some seconds and 100 MB in every worker."""

from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam for some tensors, which it changes in place: for each number a mean of gradients and one of their squares.

    Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
    """

    def __init__(self, tensors: Sequence[Tensor], learning_rate: float = 0.001) -> None:
        self.tensors, self.learning_rate, self.steps = [tensor.detach() for tensor in tensors], learning_rate, 0
        self.means = [torch.zeros_like(tensor) for tensor in self.tensors]
        self.squares = [torch.zeros_like(tensor) for tensor in self.tensors]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step, given the gradient for each tensor."""
        self.steps += 1
        rate = self.learning_rate / (1 - BETA_1**self.steps)
        scale = (1 - BETA_2**self.steps) ** 0.5
        for tensor, gradient, mean, square in zip(self.tensors, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - BETA_1)
            square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            tensor.addcdiv_(mean, square.sqrt().div_(scale).add_(EPSILON), value=-rate)
