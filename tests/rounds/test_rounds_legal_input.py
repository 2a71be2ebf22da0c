"""Legal input that once gave a wrong result without a word: it works, or one sentence says what to do."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.learning import keys, sgd

PLAN = plans.fedavg(rounds=2, participation=1.0, epochs=1)


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    train, test = data.load("digits")
    return train.subset(range(400)), test


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def linear() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Flatten(), nn.Linear(64, 10)]


@pytest.mark.parametrize("same", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_other_libraries_are_the_same_seed(digits: tuple[Dataset, Dataset], same: Any) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 2)
    one, other = (rounds.fit(models.logistic(), train, clients, PLAN, seed=seed) for seed in (3, same))
    assert torch.equal(weights(one), weights(other))
    assert keys.key(same, "a") == keys.key(3, "a")
    for dealt, again in zip(*(data.partitions.iid(train.y, 5, seed) for seed in (3, same)), strict=True):
        np.testing.assert_array_equal(dealt, again)
    assert torch.equal(data.load("digits", seed=same)[0].y, data.load("digits", seed=3)[0].y)
    assert torch.equal(data.hold_out(train, 0.2, same)[0].y, data.hold_out(train, 0.2, 3)[0].y)


@pytest.mark.parametrize("wrong", ["3", True, np.bool_(True), torch.tensor(True), 3.0, None])
def test_what_is_no_seed_is_refused_with_its_value(digits: tuple[Dataset, Dataset], wrong: Any) -> None:
    train, _ = digits
    takers: list[Callable[[], object]] = [
        lambda: rounds.fit(models.logistic(), train, [range(9)], PLAN, seed=wrong),
        lambda: data.load("digits", seed=wrong),
        lambda: data.load_by_client("keyboard", seed=wrong),
        lambda: data.hold_out(train, 0.2, wrong),
        lambda: data.partitions.dirichlet(train.y, 4, 1.0, wrong),
        lambda: data.partitions.feature_skew(train, 4, 1.0, wrong),
        lambda: models.mlp().build((1, 8, 8), 10, wrong),
    ]
    for take in takers:
        with pytest.raises(ValueError, match="must be a whole number, such as seed=3"):
            take()
    with pytest.raises(ValueError, match="must be a whole number"):
        next(sgd.epoch(train, 10, wrong, 0))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_weights_of_another_precision_are_refused_by_name(digits: tuple[Dataset, Dataset], kind: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"1.weight is {kind}, but weights travel as torch.float32: call model.float"):
        rounds.fit(nn.Sequential(*linear()).to(kind), digits[0], [range(9), range(9, 18)], PLAN, workers=2)


def test_a_run_of_which_no_message_was_used_raises(digits: tuple[Dataset, Dataset]) -> None:
    faults = dict.fromkeys(range(2), lambda message, _: message.double())
    with pytest.raises(ValueError, match=r"no round of 2 could use .* client 1 \(650 of torch.float64"):
        rounds.fit(models.logistic(), digits[0], [range(9), range(9, 18)], PLAN.but(faults=faults))


class MinusQuarter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x -= 0.25
        return x


class Shifted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.25


@pytest.mark.parametrize(("first", "same"), [(nn.ReLU(inplace=True), nn.ReLU()), (MinusQuarter(), Shifted())])
@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_first_layer_that_works_in_place_leaves_the_data_alone(
    first: nn.Module, same: nn.Module, batch_size: int | None, workers: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 64, generator=generator), torch.randint(10, (300,), generator=generator)
    train, test = data.from_arrays(x, y), data.from_arrays(x[:50], y[:50], classes=list("0123456789"))
    plan = PLAN.but(batch_size=batch_size, local_epochs=None, local_steps=30)
    clients = data.partitions.iid(train.y, 2)
    settings: dict[str, Any] = {"test": test, "local_tests": [range(25), range(25, 50)], "workers": workers}
    in_place, clean = (
        rounds.fit(nn.Sequential(layer, *linear()), train, clients, plan, **settings) for layer in (first, same)
    )
    assert torch.equal(weights(in_place), weights(clean)) and in_place.accuracy == clean.accuracy
    np.testing.assert_array_equal(in_place.client_accuracy, clean.client_accuracy)
    assert torch.equal(train.x, x) and torch.equal(test.x, x[:50])


def test_runs_in_threads_of_one_process_take_turns(digits: tuple[Dataset, Dataset]) -> None:
    clients = data.partitions.iid(digits[0].y, 2)

    networks = [nn.Sequential(nn.Dropout(0.5), *linear()) for _ in range(4)]

    def fit(seed: int) -> Tensor:
        return weights(rounds.fit(networks[seed], digits[0], clients, PLAN, seed=seed))

    alone = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(fit, range(4)))
    assert all(torch.equal(*both) for both in zip(alone, together, strict=True))


class NumpyNoise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(np.random.randn(*x.shape).astype(np.float32))


class OwnNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drawn = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        return x * float(self.drawn.random())


class PythonChance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if random.random() < 0.05 else x


class Counter(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2 if self.calls > 70 else x


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if sum(x.flatten().tolist()) > 0 else x


class BranchOnArray(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if np.asarray(x.detach()).sum() > 0 else x


@pytest.mark.parametrize("layer", [NumpyNoise, OwnNoise, PythonChance, Counter, Branch, BranchOnArray])
def test_what_a_recorded_gradient_would_freeze_is_not_recorded(layer: Callable[[], nn.Module]) -> None:
    def trained(recording: bool) -> Tensor:
        random.seed(0)
        np.random.seed(0)
        model, generator = sgd.FlatModel(nn.Sequential(layer(), *linear())), torch.Generator().manual_seed(0)
        for _ in range(120):
            x, y = torch.randn(4, 64, generator=generator), torch.randint(10, (4,), generator=generator)
            if recording:
                model.step(x, y, 0.1)
            else:
                loss = nn.functional.cross_entropy(model.module(x), y)
                torch._foreach_add_(model._views, torch.autograd.grad(loss, model.parameters), alpha=-0.1)
        return model.theta

    assert torch.equal(trained(True), trained(False))


@pytest.mark.parametrize(
    "spec", [models.logistic(), models.mlp((8,)), models.lenet(), models.cnn(), models.normalised()]
)
def test_the_networksof_the_course_are_recorded_and_stay_so(spec: models.ModelSpec) -> None:
    model, shape = sgd.FlatModel(spec.build((1, 8, 8), 10)), torch.Size([4, 1, 8, 8])
    for _ in range(30):
        model.step(torch.rand(shape), torch.randint(10, (4,)), 0.01)
    assert model._recorded[shape] is not None


class RunningShift(nn.Module):
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return x - self.mean


def test_a_buffer_that_training_changes_is_refused_by_name(digits: tuple[Dataset, Dataset]) -> None:
    model = nn.Sequential(nn.Flatten(), RunningShift(), nn.Linear(64, 10))
    with pytest.raises(ValueError, match=r"training changes the buffer 1.mean, which is not a weight"):
        rounds.fit(model, digits[0], [range(9), range(9, 18)], PLAN, workers=2)


def test_masks_tensors_and_ranges_are_the_same_clients_as_arrays(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    indices = [np.arange(0, 100), np.arange(100, 400)]
    masks = [np.isin(np.arange(400), one) for one in indices]
    ways: list[Any] = [masks, [torch.tensor(mask) for mask in masks], [mask.tolist() for mask in masks],
                       [torch.tensor(one) for one in indices], [range(100), range(100, 400)]]  # fmt: skip
    expected = rounds.fit(models.logistic(), train, indices, PLAN, test=test, local_tests=indices[:1] * 2)
    tests: Any = [torch.arange(100)] * 2
    for way in ways:
        run = rounds.fit(models.logistic(), train, way, PLAN, test=test, local_tests=tests)
        assert torch.equal(weights(run), weights(expected)) and run.history["bytes_up"].equals(
            expected.history["bytes_up"]
        )
        np.testing.assert_array_equal(run.client_accuracy, expected.client_accuracy)


def test_clients_without_an_order_fractions_and_examples_held_twice_are_refused(
    digits: tuple[Dataset, Dataset],
) -> None:
    wrong: list[tuple[Any, str]] = [
        ({0: [1, 2]}, "clients is a dict: pass a list"),
        ([{1, 2}], "client 0 is given as a set"),
        ([[1, 2], {3: 1}], "client 1 is given as a dict"),
        ([[0.5, 1.0]], "client 0 is given by float64"),
        ([[1, 1, 2]], "client 0 holds an example twice"),
        ([np.array([True, False])], r"client 0 has a mask of shape \(2,\), but there are 400 examples"),
    ]
    for clients, message in wrong:
        with pytest.raises(ValueError, match=message):
            rounds.fit(models.logistic(), digits[0], clients, PLAN)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(64, 10), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x.flatten(1))


def transposed() -> nn.Module:
    model = nn.Sequential(*linear())
    model[1].weight = nn.Parameter(torch.randn(64, 10).t())
    return model


def channels_last() -> nn.Module:
    layers = [nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 10)]
    module: Any = nn.Sequential(*layers)
    return module.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [Unused, transposed, channels_last])
@pytest.mark.parametrize("plan", [PLAN, plans.fedsgd(2), plans.synchronous_sgd(2)])
def test_unused_layers_and_unusual_layouts_of_weights_work(
    digits: tuple[Dataset, Dataset], make: Callable[[], nn.Module], plan: plans.Plan
) -> None:
    clients = data.partitions.iid(digits[0].y, 2)
    with torch.no_grad():  # a run trains all the same
        run = rounds.fit(make(), digits[0], clients, plan)
    assert weights(run).isfinite().all()


def test_sparse_gradients_and_another_default_precision_get_one_sentence(digits: tuple[Dataset, Dataset]) -> None:
    sparse = nn.Sequential(nn.Embedding(3, 4, sparse=True))
    with pytest.raises(ValueError, match="layer 0 makes sparse gradients: build it with sparse=False"):
        rounds.fit(sparse, digits[0], [range(9)], PLAN)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match=r"torch's default is torch.float64"):
            rounds.fit(models.logistic(), digits[0], [range(9)], PLAN)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("error")
def test_a_filtered_series_is_labels_and_a_read_only_array_is_copied() -> None:
    labels: Any = pd.Series([0, 5, 1, 1])
    x = np.zeros((3, 2), dtype=np.float32)
    x.flags.writeable = False
    made = data.from_arrays(x, labels[labels < 2])
    made.x.add_(1)
    assert made.y.tolist() == [0, 1, 1] and not x.any()
    assert data.from_arrays(x[::-1], np.arange(3)[::-1]).y.tolist() == [2, 1, 0]
