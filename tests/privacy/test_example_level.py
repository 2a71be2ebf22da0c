"""DP-SGD: each example's own gradient, clipped; the noise that was asked for; the denominator that does not tell."""

from math import inf

import pytest
import torch
from scipy.stats import kstest, norm
from torch import Tensor, nn

from course_lib import models
from course_lib.learning.sgd import FlatModel, local_update
from course_lib.privacy import per_example
from course_lib.privacy.example_level import ExampleLevel, private_gradient
from course_lib.privacy.per_example import clipped_sum, norms

CLASSES = 5
IMAGES, WINDOWS = (1, 12, 12), (6,)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.head = nn.Embedding(7, 4), nn.GRU(4, 6, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(self.embedding(x.long()))[0][:, -1])


class Tied(nn.Module):
    """Uses a layer's weights in a way that the list of its layers does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.linear(torch.tanh(self.layer(x)), self.layer.weight))


def shared() -> nn.Module:
    layer = nn.Linear(8, 8)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(8, CLASSES))


def strange_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), nn.Tanh(), nn.AvgPool2d(2),
        nn.Sequential(nn.Conv2d(4, 3, 1, bias=False), nn.Flatten(), nn.LazyLinear(CLASSES)),
    )  # fmt: skip


def built(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    module(torch.zeros(2, *shape))
    return module


def spec(spec: models.ModelSpec, shape: tuple[int, ...]):
    return lambda: spec.build(shape, CLASSES, seed=1)


# name: how it is made, the shape of its examples, whether its layers can be read one after the other
MODELS = {
    "logistic": (spec(models.logistic(), IMAGES), IMAGES, True),
    "mlp": (spec(models.mlp((9, 7)), IMAGES), IMAGES, True),
    "lenet": (spec(models.lenet(), IMAGES), IMAGES, True),
    "cnn": (spec(models.cnn(), (1, 8, 8)), (1, 8, 8), True),
    "causal": (spec(models.causal(4, 6), WINDOWS), WINDOWS, False),
    "recurrent": (Recurrent, WINDOWS, False),
    "positions": (lambda: nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Flatten(), nn.Linear(8, CLASSES)), (2, 3), True),
    "strange": (lambda: built(strange_convolutions(), IMAGES), IMAGES, True),
    "inplace": (lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(inplace=True), nn.Linear(6, CLASSES)), (8,), False),
    "shared": (shared, (8,), False),
    "tied": (Tied, (8,), False),
    "groups": (
        lambda: built(nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.LazyLinear(CLASSES)), (2, 5, 5)),
        (2, 5, 5), False,
    ),
    "same": (
        lambda: built(nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten(), nn.LazyLinear(CLASSES)), (1, 5, 5)),
        (1, 5, 5), False,
    ),
}  # fmt: skip
each_model = pytest.mark.parametrize("name", MODELS)


def made(name: str, examples: int = 7) -> tuple[FlatModel, Tensor, Tensor]:
    torch.manual_seed(3)
    make, shape, _ = MODELS[name]
    model = FlatModel(make())
    x = torch.randint(0, CLASSES, (examples, *shape)).float() if shape == WINDOWS else torch.randn(examples, *shape)
    x[1:3] *= 1 if shape == WINDOWS else 4  # some gradients are much longer than others
    return model, x, torch.arange(examples) % CLASSES


def one_by_one(model: FlatModel, x: Tensor, y: Tensor) -> Tensor:
    """Each example's gradient `(b, d)` from a backward pass of its own."""
    rows = [torch.cat([part.reshape(-1) for part in model.gradient(x[i : i + 1], y[i : i + 1])]) for i in range(len(y))]
    return torch.stack(rows)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@each_model
def test_norms_and_clipped_sums_are_those_of_one_backward_pass_an_example(name: str) -> None:
    model, x, y = made(name)
    alone = one_by_one(model, x, y)
    lengths = alone.norm(dim=1)
    torch.testing.assert_close(norms(model, x, y), lengths, rtol=1e-5, atol=1e-6)
    for bound in (lengths.min() / 2, lengths.median(), 2 * lengths.max()):
        expected = (alone * (bound / lengths).clamp(max=1)[:, None]).sum(0)
        found = clipped_sum(model, x, y, float(bound))
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6 * float(bound))


@each_model
def test_only_models_whose_layers_are_known_are_read_layer_by_layer(name: str) -> None:
    model, _, _ = made(name)
    assert bool(per_example._readable(model)) == MODELS[name][2]


def test_frozen_weights_and_hooks_are_not_overlooked() -> None:
    model, x, y = made("mlp")
    list(model.module.children())[1].register_forward_hook(lambda *given: 2 * given[-1])
    torch.testing.assert_close(norms(model, x, y), one_by_one(model, x, y).norm(dim=1), rtol=1e-5, atol=1e-6)
    model, x, y = made("mlp")
    model.module.register_forward_hook(lambda *given: 2 * given[-1])
    torch.testing.assert_close(norms(model, x, y), one_by_one(model, x, y).norm(dim=1), rtol=1e-5, atol=1e-6)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES))
    module[0].weight.requires_grad_(False)
    frozen, x = FlatModel(module), torch.randn(7, 4)
    torch.testing.assert_close(norms(frozen, x, y), one_by_one(frozen, x, y).norm(dim=1), rtol=1e-5, atol=1e-6)
    # As many weights as the layers hold, but not the same ones.
    module.register_parameter("unused", nn.Parameter(torch.zeros(6, 4)))
    frozen = FlatModel(module)
    torch.testing.assert_close(norms(frozen, x, y), one_by_one(frozen, x, y).norm(dim=1), rtol=1e-5, atol=1e-6)


@each_model
def test_without_noise_and_clipping_it_is_the_plain_gradient_over_a_fixed_denominator(name: str) -> None:
    model, x, y = made(name)
    found = private_gradient(model, x, y, 0.0, inf, 10.0, generator())
    plain = torch.cat([part.reshape(-1) for part in model.gradient(x, y)]) * len(y) / 10
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "lenet", "causal"])
def test_every_clipped_gradient_is_within_its_bound_and_zero_stays_zero(name: str) -> None:
    model, x, y = made(name)
    for bound in (1e-3, 0.5, 1e3):
        for i in range(len(y)):
            assert clipped_sum(model, x[i : i + 1], y[i : i + 1], bound).norm() <= bound * (1 + 1e-6)
    zero = FlatModel(nn.Sequential(nn.Linear(3, 1)))  # one class: every gradient is zero
    found = clipped_sum(zero, torch.randn(4, 3), torch.zeros(4, dtype=torch.long), 0.1)
    assert torch.equal(found, torch.zeros(4))
    assert torch.equal(norms(zero, torch.randn(4, 3), torch.zeros(4, dtype=torch.long)), torch.zeros(4))


@pytest.mark.parametrize("name", ["mlp", "lenet", "tied"])
@pytest.mark.parametrize("value", [float("nan"), inf])
def test_an_example_without_a_finite_gradient_counts_as_zero_and_spoils_no_other(name: str, value: float) -> None:
    model, x, y = made(name)
    without = clipped_sum(model, x[1:], y[1:], 0.3)
    x[0].view(-1)[0] = value
    torch.testing.assert_close(clipped_sum(model, x, y, 0.3), without)
    assert torch.equal(clipped_sum(model, x[:1], y[:1], 0.3), torch.zeros_like(without))


@pytest.mark.parametrize("name", ["tied", "lenet"])
def test_a_batch_too_large_for_memory_is_taken_in_parts(monkeypatch, name: str) -> None:
    model, x, y = made(name, 10)
    whole, lengths = clipped_sum(model, x, y, 0.5), norms(model, x, y)
    monkeypatch.setattr(per_example, "_AT_ONCE", 3 * len(model.theta))
    monkeypatch.setattr(per_example, "_EXAMPLES", 3)
    assert [len(part) for _, part in per_example._affordable(model, x, y)] == [3, 3, 3, 1]
    torch.testing.assert_close(clipped_sum(model, x, y, 0.5), whole)
    torch.testing.assert_close(norms(model, x, y), lengths)


def test_a_batch_without_examples_is_noise_alone() -> None:
    model, x, y = made("mlp")
    nothing = private_gradient(model, x[:0], y[:0], 2.0, 0.5, 4.0, generator())
    torch.testing.assert_close(nothing, torch.randn(len(model.theta), generator=generator()) * 2 * 0.5 / 4)
    assert len(norms(model, x[:0], y[:0])) == 0


@pytest.mark.parametrize("noise, bound, expected", [(1.0, 1.0, 1.0), (3.0, 0.5, 8.0)])
def test_the_noise_has_the_deviation_that_the_accountant_assumes(noise: float, bound: float, expected: float) -> None:
    model, x, y = made("lenet")
    clean = private_gradient(model, x, y, 0.0, bound, expected, generator())
    added = private_gradient(model, x, y, noise, bound, expected, generator(5)) - clean
    n = len(added)
    assert n > 10_000
    assert float(added.std()) == pytest.approx(noise * bound / expected, rel=4 / (2 * n) ** 0.5)
    assert abs(float(added.mean())) < 4 * noise * bound / expected / n**0.5
    assert kstest(added.numpy(), norm(scale=noise * bound / expected).cdf).pvalue > 0.01


silent = pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # Opacus, of a first layer


def opacus_step(model: nn.Module, x: Tensor, y: Tensor, noise: float, bound: float, expected: int) -> Tensor:
    """The gradient that Opacus's own optimiser makes of the batch, `(d,)`."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    wrapped = GradSampleModule(model)
    optimiser = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=1.0), noise_multiplier=noise, max_grad_norm=bound,
        expected_batch_size=expected, generator=generator(9),
    )  # fmt: skip
    nn.functional.cross_entropy(wrapped(x), y).backward()
    optimiser.pre_step()
    return torch.cat([parameter.grad.reshape(-1) for parameter in wrapped.parameters()])


@silent
@pytest.mark.parametrize("name", ["logistic", "mlp", "lenet", "cnn", "causal"])
def test_a_step_without_noise_is_opacus_own_step(name: str) -> None:
    pytest.importorskip("opacus")
    model, x, y = made(name)
    bound = float(norms(model, x, y).median())
    ours = private_gradient(model, x, y, 0.0, bound, 5.0, generator())
    torch.testing.assert_close(ours, opacus_step(model.module, x, y, 0.0, bound, 5), rtol=0, atol=1e-6)


@silent
def test_a_step_with_noise_is_distributed_as_opacus_own() -> None:
    pytest.importorskip("opacus")
    from scipy.stats import ks_2samp

    model, x, y = made("lenet")
    ours = private_gradient(model, x, y, 1.5, 0.7, 5.0, generator())
    assert ks_2samp(ours.numpy(), opacus_step(model.module, x, y, 1.5, 0.7, 5).numpy()).pvalue > 0.01


def test_each_example_is_in_a_batch_with_the_same_probability_whoever_else_is() -> None:
    settings = ExampleLevel(1.0, 1.0, 0.3)
    drawn = torch.zeros(200, 50)
    for step in range(200):
        drawn[step, settings.batch(50, step, (0, "batches", 4))] = 1
    assert float(drawn.mean()) == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 10_000) ** 0.5)
    assert (drawn.mean(0) - 0.3).abs().max() < 5 * (0.3 * 0.7 / 200) ** 0.5
    # Sizes vary as those of independent draws do: no batch was filled up or cut.
    assert float(drawn.sum(1).var()) == pytest.approx(50 * 0.3 * 0.7, rel=0.4)
    assert not torch.equal(drawn[0], drawn[1])
    again = settings.batch(50, 0, (0, "batches", 4))
    assert torch.equal(again, drawn[0].nonzero().squeeze(1))
    assert not torch.equal(again, settings.batch(50, 0, (1, "batches", 4)))
    assert len(ExampleLevel(1.0, 1.0, 1.0).batch(9, 0, (0,))) == 9


@pytest.mark.parametrize("examples", [93, 99, 100, 105, 117])
def test_an_epoch_has_one_step_for_each_expected_batch(examples: int) -> None:
    assert ExampleLevel(1.0, 1.0, 1 / examples).steps_an_epoch == examples
    assert ExampleLevel(1.0, 1.0, 1.0).steps_an_epoch == 1


def test_training_takes_the_keyed_steps_one_after_the_other() -> None:
    settings, key = ExampleLevel(0.8, 0.5, 0.4), (7, "batches", 2)
    model, x, y = made("mlp", 20)
    start = model.theta.clone()
    whole = settings.train(model, x, y, 0.2, 3, 4, key)
    torch.testing.assert_close(whole, model.theta - start)
    assert whole.shape == start.shape and whole.norm() > 0
    model.theta.copy_(start)
    halves = settings.train(model, x, y, 0.2, 3, 2, key) + settings.train(model, x, y, 0.2, 5, 2, key)
    torch.testing.assert_close(halves, whole)
    model.theta.copy_(start)
    assert not torch.allclose(settings.train(model, x, y, 0.2, 4, 4, key), whole)


def test_one_private_step_is_the_rate_times_the_gradient_of_its_batch() -> None:
    settings, key = ExampleLevel(0.0, 0.5, 0.4), (7, "batches", 2)
    model, x, y = made("mlp", 20)
    chosen = settings.batch(20, 0, key)
    gradient = private_gradient(model, x[chosen], y[chosen], 0.0, 0.5, 0.4 * 20, generator())
    pull = torch.ones(len(model.theta))
    delta = settings.train(model, x, y, 0.2, 0, 1, key, correction=lambda theta: pull)
    torch.testing.assert_close(delta, -0.2 * (gradient + pull))


def test_a_run_of_empty_batches_is_a_run_of_noise() -> None:
    settings, key = ExampleLevel(1.0, 1.0, 1e-6), (7,)
    model, x, y = made("mlp")
    delta = settings.train(model, x, y, 1e-6, 0, 3, key)
    assert all(len(settings.batch(7, step, key)) == 0 for step in range(3))
    assert float(delta.std()) == pytest.approx(1e-6 * 3**0.5 / (1e-6 * 7), rel=0.1)


def test_with_everything_neutral_a_step_is_that_of_plain_sgd() -> None:
    model, x, y = made("mlp")
    start = model.theta.clone()
    private = ExampleLevel(0.0, inf, 1.0).train(model, x, y, 0.1, 0, 3, (0,))
    model.theta.copy_(start)
    torch.testing.assert_close(private, local_update(model, x, y, 0.1, None, 0, 3, (0,)), rtol=0, atol=1e-6)


def test_batch_norm_is_refused() -> None:
    model = FlatModel(models.normalised(4).build((3,), CLASSES))
    with pytest.raises(ValueError, match="BatchNorm1d, which mixes the examples"):
        ExampleLevel(1.0, 1.0, 0.5).train(model, torch.randn(6, 3), torch.arange(6) % CLASSES, 0.1, 0, 1, (0,))


@pytest.mark.parametrize(
    "settings, said",
    [
        ((-0.1, 1.0, 0.5), "noise_multiplier=-0.1"),
        ((inf, 1.0, 0.5), "noise_multiplier=inf"),
        ((1.0, 0.0, 0.5), "clipping_norm=0.0"),
        ((1.0, float("nan"), 0.5), "clipping_norm=nan"),
        ((1.0, inf, 0.5), "clipping_norm=inf with noise_multiplier=1.0"),
        ((1.0, 1.0, 0.0), "sample_rate=0.0"),
        ((1.0, 1.0, 1.5), "sample_rate=1.5"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_value(settings: tuple[float, float, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ExampleLevel(*settings)


@pytest.mark.parametrize("expected", [0.0, -1.0, inf, float("nan")])
def test_a_denominator_that_is_no_number_of_examples_is_refused(expected: float) -> None:
    model, x, y = made("logistic")
    with pytest.raises(ValueError, match="expected="):
        private_gradient(model, x, y, 1.0, 1.0, expected, generator())
