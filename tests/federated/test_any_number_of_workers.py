"""Strategies, compression and devices give the same run in one process and in several."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.compression import Quantise, TopK
from course_lib.data import Dataset
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Device, Devices
from course_lib.federated.personalisation import Ditto, FedBN, FedPer, FineTune
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold

pytestmark = pytest.mark.slow

SLOW = Device("slow", speed=10, uplink=1e5, downlink=1e5)
CASES: dict[str, dict[str, object]] = {
    "FedProx": {"strategy": FedProx()},
    "SCAFFOLD": {"strategy": Scaffold()},
    "FedNova": {"strategy": FedNova()},
    "q-FedAvg": {"strategy": QFedAvg()},
    "FedAvgM": {"strategy": FedOpt("sgd", server_rate=0.5, beta1=0.9)},
    "FedYogi, quantised": {"strategy": FedOpt("yogi"), "compression": Quantise(feedback=True)},
    "fine-tuning": {"strategy": FineTune()},
    "Ditto, top-k": {"strategy": Ditto(), "compression": TopK(0.1)},
    "FedPer": {"strategy": FedPer()},
    "FedBN": {"strategy": FedBN()},
    "quantised": {"compression": Quantise()},
    "unreliable": {
        "strategy": FedNova(),
        "fleet": Devices(
            [LAPTOP, PHONE, OLD_PHONE, SLOW, SLOW] * 2, importance=range(1, 11), dropout=0.2, deadline=1.0,
            partial_work="accept", over_selection=1.5,
        ),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def fit(digits: tuple[Dataset, Dataset]) -> Callable[[str, int], rounds.Run]:
    train, test = digits
    clients = data.partitions.iid(train.y, 10)
    local_tests = np.array_split(np.arange(len(test)), 10)
    done: dict[tuple[str, int], rounds.Run] = {}

    def fit(case: str, workers: int) -> rounds.Run:
        if (case, workers) not in done:
            model = models.normalised(16) if case == "FedBN" else models.mlp((16,))
            plan = plans.fedavg(rounds=5, participation=0.3, epochs=2).but(**CASES[case])
            done[case, workers] = rounds.fit(
                model, train, clients, plan, test=test, seed=4, workers=workers, local_tests=local_tests
            )
        return done[case, workers]

    return fit


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_the_run_is_the_same_on_one_two_and_four_processes(
    fit: Callable[[str, int], rounds.Run], case: str, workers: int
) -> None:
    alone, together = fit(case, 1), fit(case, workers)
    for one, other in ((alone.model, together.model), (alone.best_model, together.best_model)):
        first, second = (parameters_to_vector(model.parameters()) for model in (one, other))
        torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone.client_accuracy, together.client_accuracy)
    compared = alone.history.columns.drop(["seconds", "loss"])
    assert {"accuracy", "bytes_up", "absent", "skipped", "left_out", "simulated_seconds"} < set(compared)
    assert alone.history[compared].equals(together.history[compared])
    np.testing.assert_allclose(alone.history["loss"], together.history["loss"], rtol=1e-5)


def test_the_runs_that_are_compared_differ_from_one_another(fit: Callable[[str, int], rounds.Run]) -> None:
    ends = [parameters_to_vector(fit(case, 1).model.parameters())[:500] for case in CASES if case != "fine-tuning"]
    assert all(not torch.equal(one, other) for place, one in enumerate(ends) for other in ends[:place])
    assert fit("unreliable", 1).history["absent"].sum() > 0
