"""Flower's server updates on the same numbers."""

from typing import Any

import pytest
import torch

from course_lib.aggregation import weighted_mean
from course_lib.federated.strategies import FedOpt

REASON = "Flower is not installed: pip install 'dml-vs-fl[peers]'"
ROUNDS, SETTINGS = 8, {"beta1": 0.9, "beta2": 0.99, "tau": 1e-3}


def flowers_path(name: str, settings: dict[str, float], first_round: int) -> list[torch.Tensor]:
    """The weights after each round, as Flower's own aggregation of two clients' replies leaves them."""
    strategies = pytest.importorskip("flwr.serverapp.strategy", reason=REASON)
    betas: dict[str, Any] = {"beta_1": settings["beta1"], "beta_2": settings["beta2"]} if name != "FedAdagrad" else {}
    strategy = getattr(strategies, name)(eta=0.05, tau=settings["tau"], **betas)
    theta, path = start().numpy(), []
    for number, deltas in enumerate(changes()):
        strategy.current_arrays = {"theta": theta}
        replies = [reply(theta + delta.numpy(), examples) for delta, examples in zip(deltas, EXAMPLES, strict=True)]
        arrays, _ = strategy.aggregate_train(first_round + number, replies)
        theta = arrays["theta"].numpy()
        path.append(torch.from_numpy(theta.copy()))
    return path


EXAMPLES = (30, 10)


def reply(weights: Any, examples: int) -> Any:
    from flwr.app import Array, ArrayRecord, Message, Metadata, MetricRecord, RecordDict

    arrays, metrics = ArrayRecord({"theta": Array(weights)}), MetricRecord({"num-examples": examples})
    # By itself Flower would look for the run that the message belongs to, and there is none.
    metadata = Metadata(
        run_id=1, message_id="", src_node_id=1, dst_node_id=0, reply_to_message_id="", group_id="", created_at=0.0,
        ttl=60.0, message_type="train",
    )  # fmt: skip
    make: Any = Message  # the types know only the ways that are meant for apps
    return make(RecordDict({"arrays": arrays, "metrics": metrics}), metadata=metadata)


def start() -> torch.Tensor:
    return torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def changes() -> torch.Tensor:
    """What each of two clients changed, in each round: (rounds, 2, 6). One weight never moves."""
    drawn = 0.1 * torch.randn(ROUNDS, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn[:, :, 3] = 0
    return drawn


def our_path(strategy: FedOpt) -> list[torch.Tensor]:
    theta, path = start(), []
    server = strategy.server_start(theta)
    for deltas in changes():
        theta, server = strategy.server(theta, weighted_mean(deltas, EXAMPLES).double(), server, 1.0)
        path.append(theta)
    return path


@pytest.mark.peers
@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (FedOpt("yogi", server_rate=0.05, **SETTINGS), "FedYogi"),
        (FedOpt("adagrad", server_rate=0.05, **SETTINGS | {"beta1": 0.0}), "FedAdagrad"),  # Flower's has no momentum
    ],
)
def test_yogi_and_adagrad_are_flowers_round_by_round(ours: FedOpt, name: str) -> None:
    for one, other in zip(our_path(ours), flowers_path(name, SETTINGS, first_round=1), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.peers
def test_adam_is_flowers_but_that_flower_corrects_the_bias_of_a_round_as_if_it_were_the_next() -> None:
    """Flower 1.41 raises the betas to the power round + 1, and counts rounds from 1; Kingma and Ba to the power round.

    Told that rounds begin at 0, Flower therefore takes our steps; counting as it does by itself, others.
    """
    ours = our_path(FedOpt("adam", server_rate=0.05, **SETTINGS))
    for one, other in zip(ours, flowers_path("FedAdam", SETTINGS, first_round=0), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    first = (flowers_path("FedAdam", SETTINGS, first_round=1)[0] - start()).norm() / (ours[0] - start()).norm()
    expected = ((1 - 0.99**2) ** 0.5 / (1 - 0.9**2)) / ((1 - 0.99) ** 0.5 / (1 - 0.9))
    assert first.item() == pytest.approx(expected, abs=1e-6)
