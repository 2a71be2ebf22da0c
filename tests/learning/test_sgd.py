from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parameters_to_vector

from course_lib import models
from course_lib.learning import keys, sgd

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def shard(n: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.randint(10, (n,), generator=generator)


@given(SHAPES, st.integers(0, 1000))
def test_a_flat_model_is_the_model_and_its_vector_at_once(widths: list[int], seed: int) -> None:
    original = models.mlp(tuple(widths)).build((4,), 3, seed)
    module = deepcopy(original)
    flat = sgd.FlatModel(module)
    x = torch.rand(2, 4)
    assert torch.equal(flat.theta, parameters_to_vector(original.parameters()))
    assert torch.equal(module(x), original(x))
    flat.theta.zero_()
    assert torch.equal(module(x), torch.zeros(2, 3))
    flat.theta.copy_(parameters_to_vector(original.parameters()))
    assert torch.equal(module(x), original(x))


def test_a_local_update_is_what_torchs_own_optimiser_does_on_the_same_batches() -> None:
    x, y = shard()
    model = models.lenet().build((1, 8, 8), 10)
    reference = deepcopy(model)
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.1)
    before = parameters_to_vector(reference.parameters()).detach().clone()
    for batch_x, batch_y in sgd.batches(x, y, 5, 0, 10, (1,)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(reference(batch_x), batch_y).backward()
        optimiser.step()
    expected = parameters_to_vector(reference.parameters()).detach() - before
    delta = sgd.local_update(sgd.FlatModel(model), x, y, 0.1, 5, 0, 10, (1,))
    torch.testing.assert_close(delta, expected, rtol=0, atol=1e-6)


def test_one_step_moves_the_weights_by_the_gradient_that_would_be_sent() -> None:
    x, y = shard()
    flat = sgd.FlatModel(models.mlp((7,)).build((1, 8, 8), 10))
    gradient = sgd.batch_gradient(flat, x, y, 5, 3, (2,))
    delta = sgd.local_update(flat, x, y, 0.5, 5, 3, 1, (2,))
    torch.testing.assert_close(delta, -0.5 * gradient, rtol=0, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3))
def test_every_epoch_visits_each_example_once(examples: int, batch_size: int, epochs: int) -> None:
    x = torch.arange(examples).float().unsqueeze(1)
    steps = sgd.steps_an_epoch(examples, batch_size)
    for epoch in range(epochs):
        seen = torch.cat([y for _, y in sgd.batches(x, torch.arange(examples), batch_size, epoch * steps, steps, (0,))])
        assert sorted(seen.tolist()) == list(range(examples))


@given(st.integers(1, 40), st.integers(1, 12), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_the_walk_through_a_shard_does_not_depend_on_how_rounds_cut_it(
    examples: int, batch_size: int, pieces: list[int]
) -> None:
    y = torch.arange(examples)
    x = y.float().unsqueeze(1)
    whole = [batch.tolist() for _, batch in sgd.batches(x, y, batch_size, 0, sum(pieces), (4, "a"))]
    cut: list[list[int]] = []
    for piece in pieces:
        cut += [batch.tolist() for _, batch in sgd.batches(x, y, batch_size, len(cut), piece, (4, "a"))]
    assert cut == whole


def test_the_whole_shard_is_one_batch_where_no_batch_size_is_given() -> None:
    x, y = shard()
    assert [len(batch) for batch, _ in sgd.batches(x, y, None, 4, 3, (0,))] == [23, 23, 23]


def test_keys_differ_by_seed_by_purpose_and_by_order() -> None:
    names: list[tuple[int | str, ...]] = [(0, "a", 1), (1, "a", 0), (0, "b", 1), ("a", 0, 1), (0, "a1")]
    drawn = {keys.key(*parts) for parts in names}
    assert len(drawn) == 5
    assert keys.key(0, "a", 1) == keys.key(0, "a", 1)


@pytest.mark.parametrize("key", [(0, 1), (1, 1), (0, 2)])
def test_another_key_shuffles_another_way(key: tuple[int, ...]) -> None:
    y = torch.arange(100)
    order = [b.tolist() for _, b in sgd.batches(y.float().unsqueeze(1), y, 100, 0, 1, key)]
    reference = [b.tolist() for _, b in sgd.batches(y.float().unsqueeze(1), y, 100, 0, 1, (7, 7))]
    assert order != reference


class Careful(nn.Module):
    """A module whose Python code looks at a value that it computed, which cannot be recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layer(x.flatten(1))
        return scores if scores.sum().item() < 1e9 else scores / 2


class Dropping(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Dropout(0.5), nn.Linear(30, 10))


@pytest.mark.parametrize("make", [
    lambda: models.mlp((20, 20)).build((1, 8, 8), 10), lambda: models.lenet().build((1, 8, 8), 10),
    lambda: models.logistic().build((1, 8, 8), 10), Careful, Dropping,
])  # fmt: skip
def test_the_recorded_gradient_takes_the_same_steps_as_autograd_to_the_bit(
    make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = shard(64)
    torch.manual_seed(0)
    start = make()

    def train(record_after: int) -> sgd.FlatModel:
        monkeypatch.setattr(sgd, "_RECORD_AFTER", record_after)
        torch.manual_seed(1)
        flat = sgd.FlatModel(deepcopy(start))
        sgd.local_update(flat, x, y, 0.1, 8, 0, 40, (0,))
        return flat

    plain, recorded = train(1000), train(5)
    assert torch.equal(plain.theta, recorded.theta)
    assert not plain._recorded
    (gradient,) = recorded._recorded.values()
    assert (gradient is None) == isinstance(start, Careful)
