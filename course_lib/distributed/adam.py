"""Adam, plainly: torch's own brings a compiler along on its first step, some seconds and 100 MB in every worker."""

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.settings import real

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam for some tensors of any shape, which it changes in place: for each number a mean of gradients and one of their squares.

    `means`, `squares`: of the tensors' shapes. Raises ValueError for a rate that is negative or not finite. Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
    """

    def __init__(self, tensors: Sequence[Tensor], learning_rate: float = 0.001) -> None:
        if not 0 <= real(learning_rate, "learning_rate") < float("inf"):
            raise ValueError(f"learning_rate={learning_rate} must be at least 0 and finite, such as 0.001")
        self.tensors, self.learning_rate, self.steps = [tensor.detach() for tensor in tensors], learning_rate, 0
        self.means = [torch.zeros_like(tensor) for tensor in self.tensors]
        self.squares = [torch.zeros_like(tensor) for tensor in self.tensors]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step, given the gradient for each tensor, of its shape. Raises ValueError for fewer or more of them."""
        if len(gradients) != len(self.tensors):
            raise ValueError(
                f"{len(gradients)} gradients for {len(self.tensors)} tensors: give one for each, zeros where there is none"
            )
        self.steps += 1
        rate = self.learning_rate / (1 - BETA_1**self.steps)
        scale = (1 - BETA_2**self.steps) ** 0.5
        for tensor, gradient, mean, square in zip(self.tensors, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - BETA_1)
            square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            tensor.addcdiv_(mean, square.sqrt().div_(scale).add_(EPSILON), value=-rate)
