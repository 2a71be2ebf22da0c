"""DiLoCo: workers take many steps alone, and an optimiser outside steps with what these came to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.federated.strategy import State, Strategy
from course_lib.settings import real


@dataclass(frozen=True)
class DiLoCo(Strategy):
    """DiLoCo (Douillard et al. 2023, arXiv 2311.08105, algorithm 1): minus the mean of what local steps change is taken for a
    gradient, and an outer SGD with Nesterov momentum steps with it. The paper's inner optimiser is AdamW; here it is the plan's SGD.

    `outer_rate`, `momentum`, `nesterov`: as in `torch.optim.SGD`. Rate 1 without momentum is local SGD: the mean of the models.
    Raises ValueError for a rate that is not above 0, for momentum outside [0, 1), and for Nesterov without momentum.
    """

    outer_rate: float = 0.7
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        if not 0 < real(self.outer_rate, "outer_rate") < float("inf"):
            raise ValueError(f"outer_rate={self.outer_rate} must be above 0 and finite: 1 takes the mean as it is")
        if not 0 <= real(self.momentum, "momentum") < 1:
            raise ValueError(f"momentum={self.momentum} must be at least 0 and below 1, for example 0.9")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True looks ahead by its momentum, which is 0: pass nesterov=False with it")

    def server_start(self, theta: Tensor) -> State:
        return {"momentum": torch.zeros_like(theta)}

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        # The mean points downhill already: as a gradient it would be -mean, and the two minus signs cancel.
        momentum = self.momentum * server["momentum"] + mean
        step = mean + self.momentum * momentum if self.nesterov else momentum
        return theta + self.outer_rate * step, {"momentum": momentum}
