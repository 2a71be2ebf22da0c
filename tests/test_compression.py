"""What packing keeps, what it loses, and that what it loses is not lost for good."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib import data, models, plans, rounds
from course_lib.compression import Compression, Quantise, TopK
from course_lib.federated.personalisation import Ditto, FedPer
from course_lib.federated.strategies import FedNova, FedOpt, FedProx, QFedAvg, Scaffold
from course_lib.federated.strategy import Strategy

numbers = st.floats(-1e6, 1e6, width=32).map(lambda number: number if abs(number) > 1e-6 else 0.0)
vectors = st.lists(numbers, min_size=1, max_size=60).map(torch.tensor)
WAYS = [Quantise(), Quantise(feedback=True), TopK(0.1), TopK(0.1, feedback=False), TopK(1.0)]
way = pytest.mark.parametrize("way", WAYS, ids=str)


@way
@given(vectors)
def test_a_vector_takes_the_bytes_that_were_announced(way: Compression, vector: Tensor) -> None:
    packed, _ = way.pack(vector)
    assert packed.dtype == torch.uint8 and packed.shape == (way.size(len(vector)),)
    assert way.unpack(packed, len(vector)).shape == vector.shape
    assert way.unpack(packed, len(vector)).dtype == torch.float32


@given(vectors)
def test_eight_bits_are_off_by_at_most_half_a_step_of_a_127th_of_the_largest(vector: Tensor) -> None:
    packed, lost = Quantise().pack(vector)
    step = vector.abs().max() / 127
    assert lost is None
    assert ((Quantise().unpack(packed, len(vector)) - vector).abs() <= step / 2 * (1 + 1e-4)).all()


@given(vectors, st.floats(0.01, 1))
def test_top_k_sends_the_largest_as_they_are_and_nothing_else(vector: Tensor, share: float) -> None:
    way = TopK(share)
    sent = way.unpack(way.pack(vector)[0], len(vector))
    kept = max(1, round(share * len(vector)))
    chosen = sent != 0
    assert torch.equal(sent[chosen], vector[chosen]) and chosen.sum() <= kept
    order = vector.abs().sort(descending=True).values
    torch.testing.assert_close(sent.abs().sort(descending=True).values[:kept], order[:kept])


@pytest.mark.parametrize("way", [Quantise(feedback=True), TopK(0.1), TopK(0.03)], ids=str)
@given(st.integers(0, 2**32))
def test_with_feedback_all_that_was_sent_and_what_is_left_is_all_that_came_in(way: Compression, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(30, 40, generator=generator)
    sent, residual = torch.zeros(40), None
    for vector in inputs:
        packed, residual = way.pack(vector, residual)
        sent += way.unpack(packed, 40)
    assert residual is not None
    torch.testing.assert_close(sent + residual, inputs.sum(0), rtol=0, atol=1e-4)


def test_without_feedback_small_numbers_are_never_sent_and_with_it_they_are() -> None:
    vector = torch.tensor([1.0, 0.3, 0.2])
    for feedback in (False, True):
        way, total, residual = TopK(0.34, feedback=feedback), torch.zeros(3), None
        for _ in range(60):
            packed, residual = way.pack(vector, residual)
            total += way.unpack(packed, 3)
        assert (residual is not None) == feedback
        assert ((total[1:] / 60 - vector[1:]).abs() < 0.05).all() == feedback


@way
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_stays_visible(way: Compression, bad: float) -> None:
    vector = torch.linspace(-1, 1, 50)
    vector[17] = bad
    assert not way.unpack(way.pack(vector)[0], 50).isfinite().all()


@way
def test_zeros_stay_zeros_and_a_callers_vectors_stay_as_they_are(way: Compression) -> None:
    zeros, residual = torch.zeros(20), torch.ones(20)
    assert not way.unpack(way.pack(zeros)[0], 20).any()
    way.pack(zeros, residual)
    assert not zeros.any() and residual.all()


@way
def test_the_bytes_in_the_records_are_those_that_were_packed(way: Compression) -> None:
    train, test = data.load("digits")
    clients = data.partitions.iid(train.y, 5)
    plan = plans.fedavg(rounds=3, participation=0.6, epochs=1).but(compression=way)
    run = rounds.fit(models.mlp((8,)), train, clients, plan, test=test, keep_payloads=True)
    values = 64 * 8 + 8 + 80 + 10
    up, down = (run.traffic[run.traffic["kind"] == kind] for kind in ("update", "model"))
    assert set(up["bytes"]) == {way.size(values)} and set(down["bytes"]) == {4 * values}
    assert {run.payloads[place].nbytes for place in up.index} == {way.size(values)}
    assert run.history["bytes_up"].tolist() == [number * 3 * way.size(values) for number in (1, 2, 3)]


@pytest.mark.slow
def test_a_quarter_of_the_bytes_costs_next_to_nothing_in_accuracy_and_a_fiftieth_a_little() -> None:
    train, test = data.load("digits")
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


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_makes_no_sense_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"share={share} must be above 0 and at most 1"):
        TopK(share)


def test_packing_needs_a_server_for_now() -> None:
    with pytest.raises(ValueError, match=r"compression=Quantise\(.*\) needs exchange='server', not 'all-reduce'"):
        plans.local_sgd().but(compression=Quantise())


def test_packing_a_gradient_is_packing_a_vector() -> None:
    gradient = torch.from_numpy(np.random.default_rng(0).normal(size=1000)).float()
    way, residual = TopK(0.5), None
    packed, residual = way.pack(gradient, residual)
    assert residual is not None
    assert torch.equal(way.unpack(packed, 1000) + residual, gradient)


def test_bytes_that_nobody_packed_are_unpacked_as_nan_and_so_left_out() -> None:
    forged = torch.full((TopK(0.1).size(100),), 255, dtype=torch.uint8)
    assert TopK(0.1).unpack(forged, 100).isnan().all()


def test_stochastic_rounding_is_right_on_average_where_the_nearest_step_is_not() -> None:
    vector, times = torch.cat([torch.full((50,), 0.3), torch.tensor([127.0])]), 4000
    torch.manual_seed(0)
    way = Quantise(stochastic=True)
    mean = sum(way.unpack(way.pack(vector)[0], 51).double() for _ in range(times)) / times
    assert (mean - vector).abs().max() < 0.04  # five standard errors
    assert not Quantise().unpack(Quantise().pack(vector)[0], 51)[:50].any()
