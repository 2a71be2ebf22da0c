"""Models of one's own: every client ends with other weights. Each is a strategy on the one round loop.

What stays with a client is in its state and never in a message, so personal parts cost no bytes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.learning import sgd

__all__ = ["Ditto", "FedBN", "FedPer", "FineTune"]

Range = tuple[int, int]


@dataclass(frozen=True)
class FineTune(Strategy):
    """Local fine-tuning: federated averaging, and in the end each client trains on for `epochs` passes of its own."""

    epochs: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs={self.epochs} must be at least 1: without a pass nothing is tuned")

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        steps = self.epochs * sgd.steps_an_epoch(work.examples, work.batch_size)
        return received + replace(work, steps=steps).train(received)


@dataclass(frozen=True)
class Ditto(Strategy):
    """Ditto (Li et al. 2021, arXiv 2012.04221, algorithm 1): beside the shared model each client trains one of its own, which
    pays lambda/2 x squared distance from the shared one.

    `pull` is the paper's lambda: 0 trains alone, and the larger it is the closer a client stays to the shared model. Raises
    ValueError for a negative or infinite one.
    """

    pull: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.pull < float("inf"):
            raise ValueError(f"pull={self.pull} must be at least 0 and finite: 0 trains alone, 0.1 to 1 is usual")

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        delta = work.train(received)
        own = state.get("own", received)
        return delta, state | {"own": own + work.train(own, lambda theta: self.pull * (theta - received))}

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        return state.get("own", received)


@dataclass(frozen=True)
class PartlyShared(Strategy, ABC):
    """Some weights are averaged, the others stay with their client; `fitted` finds out which, in the model at hand.

    The server's copy of what stays is never trained, so its model is not tested: `run.accuracy` is NaN, and
    `run.client_accuracy` is what counts.
    """

    one_model: ClassVar[bool] = False
    initial: Tensor | None = field(default=None, repr=False, compare=False)
    kept: tuple[Range, ...] = field(default=(), repr=False)
    statistics: State = field(default_factory=dict, repr=False, compare=False)

    @abstractmethod
    def keeps(self, module: nn.Module) -> list[nn.Module]:
        """Return the layers that stay with their client."""

    def fitted(self, module: nn.Module) -> "Strategy":
        layers = self.keeps(module)
        own = {id(parameter) for layer in layers for parameter in layer.parameters()}
        ranges, start = [], 0
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter in trained:
            if id(parameter) in own:
                ranges.append((start, start + parameter.numel()))
            start += parameter.numel()
        if not ranges or sum(stop - first for first, stop in ranges) == start:
            raise ValueError(
                f"{type(self).__name__} keeps {len(layers)} layers of {type(module).__name__} with clients: it needs a model of "
                "which some weights stay and some are shared"
            )
        initial = nn.utils.parameters_to_vector(trained).detach().clone()
        return replace(self, initial=initial, kept=tuple(ranges), statistics=_statistics(module))

    def download(self, theta: Tensor, server: State) -> Tensor:
        return theta[self._shared(len(theta))]

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        start = self.personal(received, state, work)
        delta = work.train(start)
        shared = self._shared(len(start))
        own = {"own": (start + delta)[~shared], **_statistics(work.model.module)}
        # The server may test its model in the same process: what it finds must not depend on who trained there last.
        _set_statistics(work.model.module, self.statistics)
        return delta[shared], own

    def message_size(self, weights: int) -> int:
        return int(self._shared(weights).sum())

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        theta = theta.clone()
        theta[self._shared(len(theta))] += mean
        return theta, server

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        assert self.initial is not None
        _set_statistics(work.model.module, self.statistics | state)
        theta = self.initial.clone()
        shared = self._shared(len(theta))
        theta[shared] = received
        if "own" in state:
            theta[~shared] = state["own"]
        return theta

    def _shared(self, weights: int) -> Tensor:
        shared = torch.ones(weights, dtype=torch.bool)
        for start, stop in self.kept:
            shared[start:stop] = False
        return shared


def _statistics(module: nn.Module) -> State:
    """Return copies of the running statistics of normalising layers, which belong to the client that trained last."""
    return {name: buffer.clone() for name, buffer in module.named_buffers() if buffer.is_floating_point()}


def _set_statistics(module: nn.Module, statistics: State) -> None:
    for name, buffer in module.named_buffers():
        if name in statistics:
            buffer.copy_(statistics[name])


@dataclass(frozen=True)
class FedPer(PartlyShared):
    """FedPer (Arivazhagan et al. 2019, arXiv 1912.00818): the last `layers` layers stay with their client.

    The server's model never gets a trained head, so it is not tested: `run.client_accuracy` is what counts.
    """

    layers: int = 1

    def keeps(self, module: nn.Module) -> list[nn.Module]:
        weighted = [layer for layer in module.modules() if list(layer.parameters(recurse=False))]
        if not 1 <= self.layers < len(weighted):
            raise ValueError(
                f"layers={self.layers} must be at least 1 and leave one of the model's {len(weighted)} layers to be shared"
            )
        return weighted[-self.layers :]


@dataclass(frozen=True)
class FedBN(PartlyShared):
    """FedBN (Li et al. 2021, arXiv 2102.07623): normalising layers stay with their client, with their running statistics.

    Meant for clients whose inputs differ, in brightness or noise. It is the one strategy that takes BatchNorm. The server's
    model lacks trained normalising layers, so it is not tested: `run.client_accuracy` is what counts.
    """

    batch_norm: ClassVar[bool] = True

    def keeps(self, module: nn.Module) -> list[nn.Module]:
        kinds = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
        return [layer for layer in module.modules() if isinstance(layer, kinds)]
