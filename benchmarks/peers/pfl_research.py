"""pfl-research (Granqvist et al. 2024, arXiv 2404.06430): its `PyTorchModel` on its `SimulatedBackend`, one process."""

from functools import cache
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn import functional

from peers.workload import Measurement, Workload, examples, one_thread


class _Classifier(nn.Module):
    """The workload's model with the two methods that pfl asks of it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(self.network(x), y)

    @torch.no_grad()
    def metrics(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        return {"loss": Weighted(self.loss(x, y).item() * len(y), len(y))}


class _Ticks(TrainingProcessCallback):
    def __init__(self, clock: Measurement) -> None:
        self.clock = clock

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        self.clock.tick()
        return False, Metrics()


def measure(workload: Workload) -> Measurement:
    """Run the workload with pfl's federated averaging; it tests the model in its first round only."""
    one_thread()
    clock = Measurement(workload)
    np.random.seed(workload.seed)
    _, _, clients = examples(workload)

    @cache
    def user(name: int) -> PyTorchTensorDataset:
        return PyTorchTensorDataset((clients[name].x, clients[name].y), user_id=str(name))

    sampler = get_user_sampler("minimize_reuse", list(range(workload.clients)))
    users = FederatedDataset(user, sampler)
    classifier = _Classifier(workload.new_model())
    model = PyTorchModel(
        classifier, local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(classifier.parameters(), lr=1.0),
    )  # fmt: skip
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=workload.rounds, evaluation_frequency=workload.rounds,
            train_cohort_size=workload.cohort, val_cohort_size=None,
        ),
        SimulatedBackend(training_data=users, val_data=users, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(
            local_num_epochs=workload.epochs, local_learning_rate=workload.learning_rate,
            local_batch_size=workload.batch_size,
        ),
        NNEvalHyperParams(local_batch_size=None),
        callbacks=[_Ticks(clock)], send_metrics_to_platform=False,
    )  # fmt: skip
    clock.judge(classifier.network)
    return clock
