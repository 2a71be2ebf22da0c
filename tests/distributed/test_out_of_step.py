"""Rounds out of step: at bound 0 they are DDP, else what a loop written by hand does with the same order of arrivals."""

from collections import deque
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.compression import TopK
from course_lib.data import Dataset
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.diloco import DiLoCo
from course_lib.federated.participation import Device, Devices
from course_lib.federated.personalisation import Ditto
from course_lib.federated.strategies import FedNova, FedProx
from course_lib.federated.strategy import LocalWork, Strategy
from course_lib.learning import sgd
from tests.federated.bowl import RATE, Bowl, bowls, moved
from tests.rounds.test_rounds import train_with_ddp, weights

MODEL = models.mlp((12,))
CLIENTS = ((1.0, 2.0), (4.0, -1.0), (2.0, 3.0))
SIZES = (1, 2, 5)
FEDAVG = plans.fedavg(rounds=30, participation=1.0, epochs=3, batch_size=None, learning_rate=RATE)
Digits = tuple[Dataset, Dataset]


def fleet(*speeds: float, **settings: Any) -> Devices:
    return Devices([Device(str(speed), speed, uplink=1e6, downlink=1e6) for speed in speeds], **settings)


UNEVEN = fleet(10, 6, 1, variation=0.3)


def of(digits: Digits, plan: plans.Plan, workers: int = 1, participants: int = 3, **told: Any) -> rounds.Run:
    train, test = digits
    clients = data.partitions.iid(train.y, participants)
    return rounds.fit(MODEL, train, clients, plan, test=test, seed=3, workers=workers, **told)


@pytest.mark.slow
def test_bound_0_is_synchronous_sgd_and_is_ddp(digits: Digits) -> None:
    plan = plans.asynchronous_sgd(8, 16, 0.5, bound=0, fleet=fleet(5, 1)).but(data="stays")
    ours = of(digits, plan, workers=2, participants=2)
    synchronous = of(digits, plans.synchronous_sgd(8, 16, 0.5).but(data="stays"), participants=2)
    torch.testing.assert_close(weights(ours), weights(synchronous), rtol=0, atol=1e-6)
    assert ours.history["max_staleness"].max() == 0
    train, _ = digits
    shards = [train.subset(indices) for indices in data.partitions.iid(train.y, 2)]
    pieces = [list(sgd.batches(one.x, one.y, 16, 0, 8, (3, "batches", k))) for k, one in enumerate(shards)]
    module = MODEL.build(train.shape, len(train.classes), 3)
    for ddp in cluster.launch(train_with_ddp, module, 8, 0.5, pieces, workers=2):
        torch.testing.assert_close(weights(ours), ddp, rtol=0, atol=1e-6)


def by_hand(order: tuple[int, ...], by: Asynchronous) -> float:
    """The parameter server on three parabolas: each message in `order` is based on the weight as it was when its sender was served."""
    weight, version = 0.0, 0
    served = dict.fromkeys(range(3), (weight, version))
    arrived: list[int] = []
    queue = deque(order)
    while queue:
        arrived.append(queue.popleft())
        if len(arrived) < by.buffer:
            continue
        changes = [moved(served[k][0], *CLIENTS[k], 3) for k in arrived]
        late = [version - served[k][1] for k in arrived]
        counts = [SIZES[k] * (1 + s) ** -by.exponent for k, s in zip(arrived, late, strict=True)]
        divisor = sum(SIZES[k] for k in arrived) if by.shorten else sum(counts)
        weight += float(np.dot(counts, changes)) / divisor
        version += 1
        served |= dict.fromkeys(arrived, (weight, version))
        arrived = []
    return weight


@pytest.mark.parametrize(
    "by", [Asynchronous(), Asynchronous(2), Asynchronous(2, exponent=0.5), Asynchronous(1, exponent=1.0, shorten=True)]
)
def test_a_run_out_of_step_is_its_loop_by_hand(by: Asynchronous) -> None:
    train, clients = bowls(*CLIENTS, copies=SIZES)
    run = rounds.fit(Bowl(), train, clients, FEDAVG.but(asynchronous=by, fleet=UNEVEN))
    assert set(run.order) == {0, 1, 2} and run.arrivals["staleness"].max() >= 2
    found = parameters_to_vector(run.model.parameters()).item()
    assert found == pytest.approx(by_hand(run.order, by), abs=1e-5)


def test_the_mean_is_divided_by_the_sum_of_weights_not_by_the_number_of_messages() -> None:
    train, clients = bowls((1.0, 2.0), (1.0, 2.0))  # twins: a mean of what they send is what each sends
    plan = FEDAVG.but(rounds=1, fleet=fleet(1, 1), asynchronous=Asynchronous(2, exponent=3.0))
    found = parameters_to_vector(rounds.fit(Bowl(), train, clients, plan).model.parameters()).item()
    assert found == pytest.approx(moved(0.0, 1.0, 2.0, 3), abs=1e-6)


def messages(run: rounds.Run) -> list[list[object]]:
    """Who sent what to whom, in any order: which process sent first is chance; the last test of clients goes once to each process."""
    rounds_only = run.traffic[run.traffic["kind"] != "evaluation"]
    return sorted(rounds_only.drop(columns="crossed").to_numpy().tolist())


CASES: dict[str, plans.Plan] = {
    "asynchronous SGD": plans.asynchronous_sgd(40, 16, fleet=UNEVEN),
    "bounded, without devices": plans.asynchronous_sgd(30, 16, bound=3),
    "momentum at the server": plans.asynchronous_sgd(30, 16, 0.05, fleet=UNEVEN).but(strategy=DiLoCo(1.0, 0.5, False)),
    "FedBuff": plans.fedavg(12, 0.5, 1).but(
        asynchronous=Asynchronous(2, exponent=0.5), fleet=fleet(*[9, 5, 2] * 2, variation=0.5, dropout=0.2)
    ),
    "remembering": plans.fedavg(12, 0.5, 1).but(asynchronous=Asynchronous(2), strategy=Ditto(), compression=TopK(0.2)),
    "FedNova": plans.fedavg(12, 0.5, 1).but(asynchronous=Asynchronous(1), strategy=FedNova()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_run_is_the_same_on_any_number_of_processes(digits: Digits, case: str) -> None:
    clients = 3 if CASES[case].data == "pooled" else 6
    runs = [of(digits, CASES[case], workers, clients) for workers in (1, 2, 3)]
    for run in runs[1:]:
        torch.testing.assert_close(weights(run), weights(runs[0]), rtol=0, atol=1e-6)
        before, after = (messages(one) for one in (runs[0], run))
        assert before == after
        assert run.client_accuracy.tolist() == runs[0].client_accuracy.tolist()
        assert run.history.drop(columns=["seconds", "loss"]).equals(runs[0].history.drop(columns=["seconds", "loss"]))


def test_history_says_how_late_messages_were_and_when_each_step_was_made(digits: Digits) -> None:
    run = of(digits, plans.asynchronous_sgd(30, 16, fleet=fleet(10, 10, 1)), evaluate_every=10)
    late = run.arrivals
    for row in run.history.to_dict("records"):
        own = late[(late["round"] <= row["round"]) & (late["round"] > row["round"] - 10)]["staleness"]
        assert row["staleness"] == pytest.approx(own.mean()) and row["max_staleness"] == own.max()
    assert run.history["simulated_seconds"].is_monotonic_increasing
    assert run.history["simulated_seconds"].iloc[-1] == pytest.approx(sum(now.seconds for now in run.attendance))
    assert "staleness" not in of(digits, plans.synchronous_sgd(2, 16)).history
    sent = run.traffic[run.traffic["kind"] == "gradient"]
    assert list(zip(sent["round"], sent["sender"], strict=True)) == [
        (row.round, f"worker {row.participant}") for row in late.itertuples()
    ]


def test_every_worker_goes_through_its_own_shard_however_seldom_its_messages_come(digits: Digits) -> None:
    """One epoch of the slow worker's batches, although other workers' steps come in between."""
    seen: list[Tensor] = []

    class Watched(FedProx):
        def client(self, received: Tensor, state: Any, work: Any) -> Any:
            if len(work.shard) == 40:
                seen.append(next(sgd.batches(work.shard.x, work.shard.y, 10, work.first_step, 1, work.key))[0])
            return super().client(received, state, work)

    train, _ = digits
    plan = plans.asynchronous_sgd(40, 10, fleet=fleet(9, 1)).but(data="stays", strategy=Watched(0.0))
    rounds.fit(MODEL, train, [np.arange(100, 1000), np.arange(40)], plan)
    assert len(seen) >= 4
    assert torch.equal(torch.cat(seen[:4]).sort(dim=0).values, train.x[:40].sort(dim=0).values)


class Counting(Strategy):
    """Each client counts the pieces of work whose messages the server has used; `seen` is what it knew at each piece."""

    seen: ClassVar[dict[int, list[int]]] = {}

    def client(self, received: Tensor, state: Any, work: LocalWork) -> Any:
        done = int(state.get("done", torch.zeros(1)))
        self.seen.setdefault(len(work.shard), []).append(done)
        return work.train(received), {"done": torch.tensor([done + 1.0])}


def test_what_a_client_remembers_counts_once_its_message_was_used_and_not_before() -> None:
    train, clients = bowls(*CLIENTS, copies=SIZES)
    plan = FEDAVG.but(rounds=60, fleet=UNEVEN, asynchronous=Asynchronous(), strategy=Counting())
    spoilt = rounds.fit(Bowl(), train, clients, plan.but(faults={1: lambda m, n: m * float("nan") if n == 3 else m}))
    assert spoilt.history["left_out"].str.contains("NaN").sum() == 1
    first, second, third = (Counting.seen[size] for size in SIZES)
    assert first == list(range(len(first))) and third == list(range(len(third))) and len(third) >= 2
    assert second == [0, 1, 2, *range(2, len(second) - 1)]  # the third was not used


def test_nan_from_everybody_is_an_error_that_names_one(digits: Digits) -> None:
    plan = plans.asynchronous_sgd(30, 16, fleet=UNEVEN).but(learning_rate=1e30, local_steps=3)
    with pytest.raises(rounds.DivergedError, match="worker 0 sent an update with NaN or infinity"):
        of(digits, plan)


def test_a_buffer_that_would_never_be_full_is_refused(digits: Digits) -> None:
    with pytest.raises(ValueError, match="buffer=4, but there are 3 clients"):
        of(digits, plans.asynchronous_sgd(5, buffer=4))
