import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib import models
from course_lib.learning import sgd
from course_lib.models import ModelSpec
from course_lib.models.text import Causal

CHARACTERS = 37


def built(window: int = 16) -> Causal:
    model = models.causal().build((window,), CHARACTERS, seed=1)
    assert isinstance(model, Causal)
    return model


def some_windows(count: int, window: int = 16) -> Tensor:
    return torch.randint(CHARACTERS, (count, window), generator=torch.Generator().manual_seed(0)).float()


def test_it_has_the_number_of_weights_that_its_description_says() -> None:
    assert sum(parameter.numel() for parameter in built().parameters()) == 23_605
    assert "23,605" in str(models.causal.__doc__)


@pytest.mark.parametrize("window", [1, 3, 4, 5, 16, 17, 80])
def test_it_fits_itself_to_the_window_and_every_character_of_it_counts(window: int) -> None:
    model, x = built(window), some_windows(20, window)
    scores = model(x)
    assert scores.shape == (20, CHARACTERS)
    for position in range(window):
        changed = x.clone()
        changed[:, position] = (changed[:, position] + 1) % CHARACTERS
        assert not torch.allclose(model(changed), scores, atol=1e-6)


def test_it_is_a_stack_of_dilated_causal_convolutions_asked_for_its_last_position() -> None:
    model, writing = built(), some_windows(1, 40)[0]
    states = model.embedding(writing.long()).T
    for level, layer in enumerate(model.layers):
        assert isinstance(layer, nn.Linear)
        dilation = 4**level
        kernel = layer.weight.unflatten(1, (4, -1)).transpose(1, 2)
        padded = functional.pad(states, (3 * dilation, 0))  # on the left alone: nothing is seen in advance
        states = torch.relu(functional.conv1d(padded[None], kernel, layer.bias, dilation=dilation))[0]
    everywhere = model.head(states.T)
    for position in range(15, 40):
        window = writing[position - 15 : position + 1]
        torch.testing.assert_close(model(window[None])[0], everywhere[position], rtol=1e-4, atol=1e-5)


def test_replayed_steps_equal_plain_ones_to_the_bit() -> None:
    x, y = some_windows(400), torch.arange(400) % CHARACTERS
    flat, plain = sgd.FlatModel(built()), built()
    for batch_x, batch_y in zip(x.split(10), y.split(10), strict=True):
        flat.step(batch_x, batch_y, 0.1)
        gradient = torch.autograd.grad(functional.cross_entropy(plain(batch_x), batch_y), list(plain.parameters()))
        with torch.no_grad():
            torch._foreach_add_(list(plain.parameters()), gradient, alpha=-0.1)
    assert any(flat._recorded.values())  # else nothing was replayed
    assert all(torch.equal(a, b) for a, b in zip(flat.parameters, plain.parameters(), strict=True))


def test_a_spec_travels_to_another_process() -> None:
    spec: ModelSpec = pickle.loads(pickle.dumps(models.causal(4, 5)))
    assert spec.build((8,), 3)(torch.zeros(2, 8)).shape == (2, 3)


def test_images_are_refused_with_what_suits_them() -> None:
    with pytest.raises(ValueError, match=r"windows.*\(1, 8, 8\).*mlp"):
        models.causal().build((1, 8, 8), 10)


@pytest.mark.parametrize("number", [-1.0, 37.0])
def test_a_number_that_is_no_characters_is_refused_with_the_range(number: float) -> None:
    x = some_windows(2)
    x[1, 3] = number
    with pytest.raises(ValueError, match=rf"{number:g}.*characters 0 to 36"):
        built()(x)


@pytest.mark.parametrize(("width", "hidden"), [(0, 64), (16, 0)])
def test_a_layer_without_width_is_refused(width: int, hidden: int) -> None:
    with pytest.raises(ValueError, match=f"width={width} and hidden={hidden}"):
        models.causal(width, hidden)
