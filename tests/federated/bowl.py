"""The smallest problem there is: one weight, and clients whose losses are parabolas, so that every step has a closed form."""

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import data
from course_lib.data import Dataset
from course_lib.federated.strategy import LocalWork
from course_lib.learning import sgd

RATE = 0.1


class Bowl(nn.Module):
    """One weight. The loss of an example (curvature, optimum) is curvature / 2 x (weight - optimum)² + 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        loss = x[:, 0] / 2 * (self.weight - x[:, 1]) ** 2 + 1
        # Scores (0, s) have the cross-entropy log(1 + exp(s)) with label 0, so s = log(exp(loss) - 1).
        return torch.stack([torch.zeros_like(loss), loss + torch.log(-torch.expm1(-loss))], dim=1)


class Pair(nn.Module):
    """Two weights in a layer each; the loss of an example (curvature, optimum, optimum) is the sum of their parabolas, plus 1."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.own = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.shared.weight, 0.0)
        nn.init.constant_(self.own.weight, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.cat([self.shared.weight, self.own.weight], dim=1)
        loss = (x[:, :1] / 2 * (weights - x[:, 1:]) ** 2).sum(1) + 1
        return torch.stack([torch.zeros_like(loss), loss + torch.log(-torch.expm1(-loss))], dim=1)


def bowls(*clients: tuple[float, float], copies: tuple[int, ...] = ()) -> tuple[Dataset, list[np.ndarray]]:
    """Client k holds `copies[k]` times, by default once, the example (curvature, optimum)."""
    copies = copies or (1,) * len(clients)
    x = np.repeat(np.array(clients), copies, axis=0)
    train = data.from_arrays(x, np.zeros(len(x), dtype=int), "bowls", ["bowl", "nothing"])
    return train, np.split(np.arange(len(x)), np.cumsum(copies)[:-1])


def work(curvature: float, optimum: float, steps: int, copies: int = 1, batch_size: int | None = None) -> LocalWork:
    """A client's work on `copies` of one example."""
    train, _ = bowls((curvature, optimum), copies=(copies,))
    return LocalWork(sgd.FlatModel(Bowl()), train, RATE, batch_size, 0, steps, (0,))


def moved(start: float, curvature: float, optimum: float, steps: int, rate: float = RATE) -> float:
    """What gradient descent on one parabola changes: it comes closer to the optimum by the same factor in every step."""
    return (optimum - start) * (1 - (1 - rate * curvature) ** steps)
