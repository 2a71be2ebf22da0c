"""Packed messages in rounds: through a server and between workers, and what is recorded is what was sent."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.cluster.traffic import Recorder
from course_lib.compression import Compression, LowRank, Quantise, RandomK, Sign, TopK
from course_lib.data import Dataset
from course_lib.federated.personalisation import Ditto, FedPer
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold
from course_lib.federated.strategy import Strategy
from course_lib.learning import sgd
from course_lib.plans import Plan
from course_lib.rounds import preparation
from course_lib.rounds.compressed import PackedAllReduce
from course_lib.rounds.exchange import DivergedError, Wire
from course_lib.rounds.participants import Participants
from tests.compression.ways import WAYS
from tests.federated.bowl import RATE, Bowl, bowls

MODEL, VALUES = models.mlp((8,)), 64 * 8 + 8 + 80 + 10
SYNCHRONOUS = plans.synchronous_sgd(5, 16, 0.1)
way = pytest.mark.parametrize("way", WAYS, ids=str)
sized = {LowRank: ((8, 64), (8,), (10, 8), (10,))}


def fitted(way: Compression) -> Compression:
    return replace(way, shapes=sized[LowRank]) if isinstance(way, LowRank) else way


def fit(plan: Plan, clients: int = 3, **told: Any) -> rounds.Run:
    train, test = data.load("digits")
    settings: dict[str, Any] = {"test": test, "seed": 2, "evaluate_every": 5} | told
    return rounds.fit(MODEL, train, data.partitions.iid(train.y, clients), plan, **settings)


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


@way
def test_with_a_server_the_bytes_in_the_records_are_those_that_were_packed(way: Compression) -> None:
    plan = plans.fedavg(rounds=3, participation=0.6, epochs=1).but(compression=way)
    run = fit(plan, 5, keep_payloads=True, evaluate_every=1)
    size = fitted(way).size(VALUES)
    up, down = (run.traffic[run.traffic["kind"] == kind] for kind in ("update", "model"))
    assert set(up["bytes"]) == {size} and set(down["bytes"]) == {4 * VALUES}
    assert {run.payloads[place].nbytes for place in up.index} == {size}
    assert run.history["bytes_up"].tolist() == [number * 3 * size for number in (1, 2, 3)]


@pytest.mark.parametrize("way", [Quantise(), Quantise(bits=1), TopK(0.05)], ids=str)
def test_what_does_not_add_up_goes_from_each_worker_to_every_other(way: Compression) -> None:
    sent = fit(SYNCHRONOUS.but(compression=way), keep_payloads=True)
    in_a_round = sent.traffic[sent.traffic["round"] == 2]
    assert set(in_a_round["kind"]) == {"gradient"} and set(in_a_round["bytes"]) == {way.size(VALUES)}
    pairs = {(f"worker {i}", f"worker {j}") for i in range(3) for j in range(3) if i != j}
    assert set(zip(in_a_round["sender"], in_a_round["receiver"], strict=True)) == pairs and len(in_a_round) == 6
    assert {sent.payloads[place].nbytes for place in in_a_round.index} == {way.size(VALUES)}


@pytest.mark.parametrize(
    ("way", "numbers"),
    [
        (RandomK(0.05), round(0.05 * VALUES)), (LowRank(2), 2 * (8 + 64) + 2 * (10 + 8) + 18),
        (LowRank(6), 6 * (8 + 64) + 80 + 18),  # 6 x (10 + 8) numbers are more than 10 x 8
    ],
)  # fmt: skip
def test_what_adds_up_costs_what_an_all_reduce_of_it_costs(way: Compression, numbers: int) -> None:
    sent = fit(SYNCHRONOUS.but(compression=way)).traffic
    assert sent.loc[sent["round"] == 2, "bytes"].sum() == 2 * (3 - 1) * 4 * numbers


def test_a_vote_costs_a_bit_a_number_up_and_one_down() -> None:
    sent = fit(SYNCHRONOUS.but(compression=Sign())).traffic
    sent = sent[sent["round"] == 2]
    for kind in ("gradient", "mean gradient"):
        found = sent.loc[sent["kind"] == kind, "bytes"]
        slices = [VALUES * (j + 1) // 3 - VALUES * j // 3 for j in range(3)]
        assert found.sum() == 2 * sum(size // 8 + 1 for size in slices) and len(found) == 6


@pytest.mark.parametrize("way", [TopK(1.0), RandomK(1.0), RandomK(1.0, feedback=False), LowRank(99)], ids=str)
@pytest.mark.parametrize("plan", [SYNCHRONOUS, plans.local_sgd(3, 4, 16), plans.fedavg(3, 0.6, epochs=1)])
def test_where_everything_is_sent_the_run_is_the_one_without_packing(way: Compression, plan: Plan) -> None:
    assert torch.equal(weights(fit(plan.but(compression=way))), weights(fit(plan)))


@pytest.mark.parametrize(
    "way", [Quantise(), Quantise(bits=1, feedback=True), Quantise(bits=1, stochastic=True), TopK(0.05), Sign()], ids=str
)
def test_workers_among_themselves_do_what_a_server_would(way: Compression) -> None:
    plan = SYNCHRONOUS.but(compression=way, learning_rate=0.01)
    # Shards of one size, so that every worker counts alike.
    train = data.load("digits")[0]
    clients = np.split(np.arange(1200), 3)
    runs = [rounds.fit(MODEL, train, clients, plan.but(exchange=how)) for how in ("all-reduce", "server")]
    assert torch.equal(*map(weights, runs))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [SYNCHRONOUS, plans.local_sgd(3, 4, 16), plans.fedavg(3, 1.0, epochs=1)])
@pytest.mark.parametrize(
    "way",
    [
        Quantise(stochastic=True), Quantise(bits=1, feedback=True), Quantise(bits=1, stochastic=True), TopK(0.05),
        RandomK(0.05), RandomK(0.05, feedback=False), Sign(0.01), LowRank(2),
    ],
    ids=str,
)  # fmt: skip
def test_the_run_is_the_same_on_any_number_of_processes(way: Compression, plan: Plan) -> None:
    plan = plan.but(compression=way)
    alone = fit(plan)
    for workers in (2, 3):
        run = fit(plan, workers=workers)
        assert torch.equal(weights(alone), weights(run))
        columns = ["round", "sender", "receiver", "kind", "bytes"]
        sent = [one.traffic.loc[one.traffic["kind"] != "evaluation", columns] for one in (alone, run)]
        ordered = [one.sort_values(columns).reset_index(drop=True) for one in sent]
        assert ordered[0].equals(ordered[1])


@way
def test_the_seed_of_torch_and_numpy_outside_changes_nothing(way: Compression) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        found.append(weights(fit(SYNCHRONOUS.but(rounds=2, compression=way))))
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))
    assert torch.equal(*found)


@way
def test_what_is_not_finite_ends_the_run_of_workers_and_is_left_out_by_a_server(way: Compression) -> None:
    with pytest.raises(DivergedError, match=r"the mean gradient holds NaN or infinity in round [23]"):
        fit(SYNCHRONOUS.but(compression=way, learning_rate=3e38))
    bad = {1: lambda message, number: torch.full_like(message, float("inf"))}
    run = fit(plans.fedavg(2, 1.0, epochs=1).but(compression=way, faults=bad))
    assert "client 1 (NaN or infinity)" in run.history["left_out"].iloc[-1]
    assert weights(run).isfinite().all()


@pytest.mark.parametrize("way", [Quantise(bits=1, feedback=True), TopK(0.1), RandomK(0.1), LowRank(1)], ids=str)
def test_what_a_worker_remembers_advances_only_when_its_message_was_used(way: Compression) -> None:
    plan = SYNCHRONOUS.but(compression=fitted(way))
    job = preparation.Job(nn.Linear(1, 1), plan, 0, (1, 1), (), (0, 0), 1, None, False)
    participants = Participants(job, sgd.FlatModel(nn.Linear(1, 1)), Recorder())
    vectors = torch.randn(2, VALUES, generator=torch.Generator().manual_seed(0))

    def exchanged(spoilt: float = 1.0) -> None:
        wire = Wire(Recorder(), None, 0, (0, 0), "worker")
        reduce = PackedAllReduce(fitted(way), 0, wire, "gradient", participants.lost())
        _, lost = reduce.mean(
            torch.zeros(VALUES), [1.0, 1.0], lambda worker, _: vectors[worker] * (1 if worker else spoilt)
        )
        for worker, memory in lost.items():
            participants.propose_lost(worker, memory)

    def remembered() -> dict[int, Tensor]:
        return {worker: memory.clone() for worker, memory in participants.lost().items()}

    exchanged()
    assert not remembered()
    participants.settle((0, 1), used=True)
    before = remembered()
    assert set(before) == {0, 1} and all(memory.any() for memory in before.values())
    with pytest.raises(DivergedError):
        exchanged(float("nan"))
    exchanged()
    participants.settle((0, 1), used=False)
    assert all(torch.equal(memory, before[worker]) for worker, memory in remembered().items())
    exchanged()
    participants.settle((0, 1), used=True)
    assert any(not torch.equal(memory, before[worker]) for worker, memory in remembered().items())


@pytest.mark.parametrize("way", [Quantise(), Quantise(bits=1), TopK(0.1), RandomK(0.1), Sign(), LowRank(3)], ids=str)
def test_a_model_of_one_weight_and_three_workers(way: Compression) -> None:
    train, clients = bowls((1.0, 2.0), (1.0, 4.0), (1.0, 3.0))
    plan = plans.synchronous_sgd(50, None, RATE)
    found = weights(rounds.fit(Bowl(), train, clients, plan.but(compression=way))).item()
    plain = weights(rounds.fit(Bowl(), train, clients, plan)).item()
    assert found == pytest.approx(3.0 if isinstance(way, Sign) else plain, abs=RATE if isinstance(way, Sign) else 1e-5)


@pytest.mark.slow
def test_a_quarter_of_the_bytes_costs_next_to_nothing_in_accuracy_and_a_fiftieth_a_little(
    digits: tuple[Dataset, Dataset],
) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 5)
    plan = plans.fedavg(rounds=12, participation=1.0, epochs=1)

    def accuracy(way: Compression | None) -> float:
        return rounds.fit(models.mlp((16,)), train, clients, plan.but(compression=way), test=test).accuracy

    plain = accuracy(None)
    assert accuracy(Quantise()) > plain - 0.02
    assert accuracy(TopK(0.05)) > plain - 0.1
    assert accuracy(TopK(0.05, feedback=False)) < accuracy(TopK(0.05))


@pytest.mark.parametrize("strategy", [Scaffold(), FedNova(), QFedAvg(), FedPer()], ids=lambda one: type(one).__name__)
def test_packing_what_is_no_plain_update_is_refused(strategy: Strategy) -> None:
    named = rf"compression=TopK\(.*\) packs plain updates, but with {type(strategy).__name__}\(.*use one or the other"
    with pytest.raises(ValueError, match=named):
        plans.fedavg().but(strategy=strategy, compression=TopK())


def test_packing_goes_with_every_strategy_that_sends_an_update() -> None:
    for strategy in (FedProx(), FedOpt(), Ditto()):
        assert plans.fedavg().but(strategy=strategy, compression=TopK()).strategy is strategy


def test_packing_needs_an_exchange() -> None:
    with pytest.raises(ValueError, match=r"compression=Quantise\(.*\) needs exchange='server' or 'all-reduce'"):
        plans.centralised().but(compression=Quantise())
