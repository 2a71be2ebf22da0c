"""Several shared models: each client joins the one that fits it best, round by round."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.learning import keys

__all__ = ["IFCA"]


@dataclass(frozen=True)
class IFCA(Strategy):
    """The iterative federated clustering algorithm (Ghosh et al. 2020, arXiv 2006.04088, algorithm 1, model averaging).

    The server keeps `clusters` models and sends all of them. A client takes the one with the lowest loss on its own examples,
    trains it, and sends the change with a mark that says which one; each model is averaged over the clients that chose it. So a
    download is `clusters` models long and an upload, here, as long with zeros for the others.

    The run's model is the first one; what each client uses is in `run.client_accuracy`. Raises ValueError for fewer than two clusters.
    """

    by_steps: ClassVar[bool] = False
    clusters: int = 2
    initial: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise ValueError(f"clusters={self.clusters} must be at least 2: one cluster is federated averaging")

    def fitted(self, module: nn.Module) -> "Strategy":
        """Return this strategy with one model more for each further cluster, each drawn anew."""
        from copy import deepcopy

        starts = [parameters_to_vector([p for p in module.parameters() if p.requires_grad]).detach().clone()]
        for number in range(1, self.clusters):
            other = deepcopy(module)
            with torch.random.fork_rng(devices=[]):
                # The first model comes from the run's seed, so the others differ from run to run as well.
                torch.default_generator.manual_seed(keys.key("cluster", number, repr(starts[0].double().sum().item())))
                for layer in other.modules():
                    reset = getattr(layer, "reset_parameters", None)
                    if reset is not None:
                        reset()
            starts.append(parameters_to_vector([p for p in other.parameters() if p.requires_grad]).detach().clone())
        return replace(self, initial=torch.stack(starts))

    def server_start(self, theta: Tensor) -> State:
        others = theta.repeat(self.clusters, 1) if self.initial is None else self.initial.clone()
        return {"models": torch.cat([theta[None], others[1:]])}

    def download(self, theta: Tensor, server: State) -> Tensor:
        return server["models"].flatten()

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        models = received.view(self.clusters, -1)
        chosen = self._choose(models, work)
        change, marks = torch.zeros_like(models), torch.zeros(self.clusters)
        change[chosen], marks[chosen] = work.train(models[chosen]), 1.0
        return torch.cat([change.flatten(), marks]), state

    def message_size(self, weights: int) -> int:
        return self.clusters * (weights + 1)

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        # The mean is over all clients; divided by the share that chose a model, it is over those.
        change, marks = mean[: -self.clusters].view(self.clusters, -1), mean[-self.clusters :]
        models = server["models"] + change / marks.clamp(min=torch.finfo(marks.dtype).tiny)[:, None]
        return models[0].clone(), {"models": models}

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        models = received.view(self.clusters, -1)
        return models[self._choose(models, work)]

    def _choose(self, models: Tensor, work: LocalWork) -> int:
        losses = [work.loss(model) for model in models]
        return min(range(self.clusters), key=losses.__getitem__)
