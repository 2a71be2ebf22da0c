"""Silos under a cloud: at its ends hierarchical training is DDP and federated averaging, exactly."""

from itertools import accumulate, combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.topology import hierarchical
from tests.federated.bowl import RATE, Bowl, bowls, moved

Digits = tuple[Dataset, Dataset]
MODEL = models.mlp((12,))
STEPS = plans.synchronous_sgd(24, 10, 0.1)


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def skewed(train: Dataset, clients: int = 6) -> list:
    return data.partitions.dirichlet(train.y, clients=clients, alpha=0.5, seed=2)


@pytest.mark.parametrize("plan", [STEPS, plans.local_sgd(8, 3, 10)], ids=lambda plan: plan.name)
@pytest.mark.parametrize("every", [1, 4])
def test_one_silo_is_distributed_training_to_the_bit(digits: Digits, plan: plans.Plan, every: int) -> None:
    train, test = digits
    run = hierarchical.fit(MODEL, train, skewed(train), plan, [range(6)], every=every, test=test, seed=5)
    alone = rounds.fit(MODEL, train, skewed(train), plan, test=test, seed=5)
    assert torch.equal(weights(run), weights(alone)) and run.accuracy == alone.accuracy
    named = run.traffic.replace("silo 0", "server").drop(columns="across")  # the one in the middle has another name
    assert named.equals(alone.traffic[alone.traffic["kind"] != "evaluation"])
    assert run.bytes_across == 0


def test_one_member_a_silo_is_federated_averaging_to_the_bit(digits: Digits) -> None:
    train, test = digits
    run = hierarchical.fit(MODEL, train, skewed(train), STEPS, [[k] for k in range(6)], every=8, test=test, seed=5)
    plan = plans.fedavg(3, participation=1.0, batch_size=10, learning_rate=0.1).but(local_epochs=None, local_steps=8)
    flat = rounds.fit(MODEL, train, skewed(train), plan, test=test, seed=5)
    assert torch.allclose(weights(run), weights(flat), atol=1e-6, rtol=0) and run.accuracy == flat.accuracy
    assert run.bytes_across == run.bytes_sent == flat.bytes_sent
    assert run.traffic["across"].all() and not (run.traffic["kind"] == "data").any()


def test_an_edge_that_averages_every_round_with_the_cloud_is_flat_federated_averaging(digits: Digits) -> None:
    train, test = digits
    plan = plans.fedavg(3, participation=1.0, epochs=1, batch_size=10, learning_rate=0.1)
    flat = rounds.fit(MODEL, train, skewed(train), plan, test=test, seed=5)
    edges = hierarchical.fit(MODEL, train, skewed(train), plan, hierarchical.even(6, 2), every=1, test=test, seed=5)
    assert torch.allclose(weights(edges), weights(flat), atol=1e-6, rtol=0)


CLIENTS = ((1.0, 2.0), (4.0, -1.0), (2.0, 3.0), (3.0, 0.5))


@pytest.mark.parametrize("plan", [
    plans.fedsgd(6, learning_rate=RATE), plans.fedsgd(6, learning_rate=RATE).but(exchange="all-reduce"),
], ids=["edge servers", "all-reduce"])  # fmt: skip
def test_two_levels_by_hand(plan: plans.Plan) -> None:
    sizes = (1, 2, 5, 2)
    train, own = bowls(*CLIENTS, copies=sizes)
    run = hierarchical.fit(Bowl(), train, own, plan, [[0, 2], [1, 3]], every=3)
    theta = 0.0
    for _ in range(2):
        ends = []
        for silo in ((0, 2), (1, 3)):
            at, count = theta, sum(sizes[k] for k in silo)
            for _ in range(3):
                at += sum(sizes[k] * moved(at, *CLIENTS[k], 1) for k in silo) / count
            ends.append((at, count))
        theta = sum(at * count for at, count in ends) / sum(sizes)
    assert weights(run).item() == pytest.approx(theta, abs=1e-6)


def test_traffic_tells_what_stays_in_a_silo_from_what_leaves_it(digits: Digits) -> None:
    train, test = digits
    run = hierarchical.fit(
        MODEL, train, skewed(train), STEPS, [[0, 1, 2], [3, 4, 5]], every=8, test=test, evaluate_every=2
    )
    size = 4 * weights(run).numel()
    across = run.traffic[run.traffic["across"]]
    assert {(row.sender, row.receiver) for row in across.itertuples()} == {
        (a, b) for k in range(2) for a, b in ((f"silo {k}", "server"), ("server", f"silo {k}"))
    }
    assert run.bytes_across == 3 * 2 * 2 * size == run.history["bytes_across"].iloc[-1]
    inside = run.traffic[~run.traffic["across"]]
    silo_of = {"silo 0": 0, "silo 1": 1} | {f"{what} {k}": k // 3 for k in range(6) for what in ("client", "worker")}
    pairs = zip(inside["sender"].tolist(), inside["receiver"].tolist(), strict=True)
    assert all(silo_of[sender] == silo_of[receiver] for sender, receiver in pairs)
    assert set(inside[inside["kind"] == "data"]["receiver"]) >= {"silo 0", "silo 1"}
    assert run.history["round"].tolist() == [16, 24]
    assert run.history["bytes_inside"].iloc[-1] + run.bytes_across == run.bytes_sent


def test_what_a_silo_holds_is_pooled_in_it_and_dealt_out_in_it(digits: Digits) -> None:
    train, _ = digits
    own = data.partitions.quantity_skew(train.y, 4, 0.5, seed=1)
    run = hierarchical.fit(
        MODEL, train, own, plans.synchronous_sgd(1, 10), [[0, 3], [1, 2]], every=1, keep_payloads=True
    )
    dealt = {
        str(row.receiver): len(payload)
        for row, payload in zip(run.traffic.itertuples(), run.payloads, strict=True)
        if row.kind == "data" and str(row.sender).startswith("silo") and payload.dim() == 1
    }
    for silo in ((0, 3), (1, 2)):
        total = sum(len(own[k]) for k in silo)
        assert sorted(dealt[f"worker {k}"] for k in silo) == [total // 2, total - total // 2]


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"silos": [[0, 1], [2]]}, "exactly once"),
        ({"silos": [[0, 1], [1, 2, 3]]}, "exactly once"),
        ({"silos": [[0, 1, 2, 3], []]}, "no silo empty"),
        ({"silos": []}, "exactly once"),
        ({"every": 7}, "every=7"),
        ({"every": 0}, "every=0"),
        ({"plan": plans.centralised(8)}, "exchange='none' is one machine"),
        ({"plan": plans.asynchronous_sgd(8)}, "asynchronous="),
        ({"plan": plans.diloco(8)}, "strategy="),
        ({"plan": plans.local_sgd(8).but(exchange="server")}, "use data='stays'"),
        ({"workers": 9}, "workers=9"),
    ],
)
def test_bad_input_is_named_before_any_process_starts(
    digits: Digits, monkeypatch, told: dict[str, Any], named: str
) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("course_lib.topology.carrying.carry_out", started)
    train, _ = digits
    given = {"plan": plans.synchronous_sgd(8), "silos": [[0, 1], [2, 3]], "every": 4, "workers": 2, **told}
    with pytest.raises(ValueError, match=named):
        hierarchical.fit(MODEL, train, data.partitions.iid(train.y, 4), given.pop("plan"), given.pop("silos"), **given)


@pytest.mark.parametrize("members", [(1, 1, 1), (4, 4), (3, 3, 2), (1, 6, 2), (8,)])
def test_no_process_works_for_a_part_of_two_silos(members: tuple[int, ...]) -> None:
    ends = list(accumulate(members))
    groups = tuple(tuple(range(end - size, end)) for end, size in zip(ends, members, strict=True))
    for workers in range(1, ends[-1] + 1):
        hosts = hierarchical._hosts(groups, workers)
        assert sorted(set(hosts)) == list(range(workers))
        teams = [{hosts[member] for member in silo} for silo in groups]
        assert not any(a & b for a, b in combinations(teams, 2) if len(a) > 1 or len(b) > 1)


def test_even_silos_are_neighbours() -> None:
    assert hierarchical.even(5, 2) == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="silos=6"):
        hierarchical.even(5, 6)


def test_a_silo_that_diverges_is_named() -> None:
    train, own = bowls(*CLIENTS)
    with pytest.raises(rounds.DivergedError, match="NaN or infinity"):
        hierarchical.fit(Bowl(), train, own, plans.fedsgd(400, learning_rate=1e3), [[0, 1], [2, 3]], every=200)
