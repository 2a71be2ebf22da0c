"""The tiny GPT: what a position may see, what it learns, and that it goes wherever the other models go."""

import math
import pickle
from collections.abc import Iterator

import pytest
import torch
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from course_lib import data, learning, models, plans, rounds
from course_lib.learning import sgd
from course_lib.models.gpt import Attention, language_targets, layers

CHARACTERS = 37


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small lose more than they gain by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def built(every_position: bool = False, window: int = 16, **sizes: int) -> nn.Module:
    return models.gpt(every_position=every_position, **sizes).build((window,), CHARACTERS, seed=1)


def some_windows(count: int, window: int = 16) -> Tensor:
    return torch.randint(CHARACTERS, (count, window), generator=torch.Generator().manual_seed(0)).float()


def test_it_has_the_number_of_weights_that_its_description_says() -> None:
    assert sum(parameter.numel() for parameter in built().parameters()) == 205_605
    assert "205,605" in str(models.gpt.__doc__)


def test_a_position_sees_itself_and_what_comes_before_it_and_nothing_else() -> None:
    model, x = built(every_position=True), some_windows(5)
    scores = model(x)
    assert scores.shape == (5, 16, CHARACTERS)
    for position in range(16):
        changed = x.clone()
        changed[:, position] = (changed[:, position] + 1) % CHARACTERS
        same = torch.isclose(model(changed), scores, atol=1e-6).all(dim=2)
        assert same[:, :position].all() and not same[:, position:].any()


def test_the_classifier_is_the_language_model_asked_for_its_last_position() -> None:
    x = some_windows(5)
    assert torch.allclose(built()(x), built(every_position=True)(x)[:, -1], atol=1e-6)


def test_attention_is_torchs_own() -> None:
    torch.manual_seed(0)
    attention, x = Attention(12, heads=3), torch.randn(2, 7, 12)
    query, key, value = (
        part(x).view(2, 7, 3, 4).transpose(1, 2) for part in (attention.query, attention.key, attention.value)
    )
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).reshape(2, 7, 12)
    torch.testing.assert_close(attention(x), attention.out(wanted))


def test_targets_are_the_characters_one_further_on() -> None:
    assert language_targets(torch.tensor([[1.0, 2, 3], [4, 5, 6]]), torch.tensor([7, 8])).tolist() == [
        [2, 3, 7],
        [5, 6, 8],
    ]


def test_layers_built_one_by_one_are_those_of_the_whole_model() -> None:
    whole = built(every_position=True)
    torch.manual_seed(1)
    one_by_one = nn.Sequential(*layers(16, CHARACTERS, 64, 4, 4))
    assert torch.equal(whole(some_windows(2)), one_by_one(some_windows(2)))


def test_replayed_steps_equal_plain_ones_to_the_bit() -> None:
    x, y = some_windows(400), torch.arange(400) % CHARACTERS
    flat, plain = sgd.FlatModel(built(blocks=1, width=16)), built(blocks=1, width=16)
    for batch_x, batch_y in zip(x.split(10), y.split(10), strict=True):
        flat.step(batch_x, batch_y, 0.1)
        gradient = torch.autograd.grad(cross_entropy(plain(batch_x), batch_y), list(plain.parameters()))
        with torch.no_grad():
            torch._foreach_add_(list(plain.parameters()), gradient, alpha=-0.1)
    assert all(torch.equal(a, b) for a, b in zip(flat.parameters, plain.parameters(), strict=True))


def test_opacus_gets_the_gradient_of_each_example() -> None:
    x, y, plain = some_windows(3), torch.tensor([1, 2, 3]), built(blocks=1, width=16)
    private = GradSampleModule(built(blocks=1, width=16), loss_reduction="sum")
    cross_entropy(private(x), y, reduction="sum").backward()
    for example in range(3):
        alone = torch.autograd.grad(cross_entropy(plain(x[[example]]), y[[example]]), list(plain.parameters()))
        for gradient, parameter in zip(alone, private.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad_sample[example], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_rounds_train_it_like_any_other_model() -> None:
    clients = data.load_by_client("keyboard")
    run = rounds.fit(
        models.gpt(width=16, blocks=1), clients.train, clients.clients[:3],
        plans.fedavg(rounds=2, participation=1.0, epochs=1, batch_size=10, learning_rate=0.1),
        test=clients.test.subset(range(500)), seed=0,
    )  # fmt: skip
    assert run.accuracy > 0.15  # the space alone is as common


@pytest.mark.slow
def test_as_a_language_model_it_soon_knows_more_than_how_common_characters_are() -> None:
    train, generator = data.load_by_client("keyboard").train, torch.Generator().manual_seed(0)
    model = models.gpt(every_position=True).build(train.shape, CHARACTERS, seed=0)
    adam, losses = torch.optim.Adam(model.parameters(), lr=0.003), []
    for _ in range(100):
        chosen = torch.randint(len(train), (64,), generator=generator)
        scores, targets = model(train.x[chosen]), language_targets(train.x[chosen], train.y[chosen])
        loss = cross_entropy(scores.flatten(0, 1), targets.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    frequency = torch.bincount(train.y, minlength=CHARACTERS) / len(train)
    entropy = -(frequency * frequency.clamp(min=1e-9).log()).sum().item()
    assert losses[0] > math.log(CHARACTERS) - 0.3 and sum(losses[-10:]) / 10 < entropy - 0.3


def test_a_spec_travels_to_another_process() -> None:
    spec: models.ModelSpec = pickle.loads(pickle.dumps(models.gpt(8, 2, 1)))
    assert spec.build((8,), 3)(torch.zeros(2, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("sizes", "told"), [((6, 4, 1), "heads=4 cannot share width=6"), ((8, 2, 0), "blocks=0"), ((0, 1, 1), "width=0")]
)
def test_sizes_that_make_no_model_are_refused_at_once(sizes: tuple[int, int, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        models.gpt(*sizes)


def test_what_it_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"windows.*\(1, 8, 8\).*mlp"):
        models.gpt().build((1, 8, 8), 10)
    with pytest.raises(ValueError, match="17 characters, but the model reads 16"):
        built()(some_windows(1, 17))
    with pytest.raises(ValueError, match=r"37.*characters 0 to 36"):
        built()(torch.full((1, 16), 37.0))


def test_its_accuracy_is_measured_like_that_of_the_others() -> None:
    clients = data.load_by_client("keyboard")
    assert 0 <= learning.accuracy(built(), clients.test.subset(range(100))) <= 1
