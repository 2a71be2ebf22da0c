import pickle

import pytest
import torch
from torch import nn

from course_lib import models


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("spec", "published"),
    [(models.mlp(), 199_210), (models.cnn(), 1_663_370), (models.lenet(), 61_706), (models.logistic(), 7_850)],
)
def test_each_model_has_its_published_number_of_weights_on_mnist(spec: models.ModelSpec, published: int) -> None:
    assert weights(spec.build((1, 28, 28), 10)) == published


@pytest.mark.parametrize("spec", [models.mlp(), models.cnn(), models.lenet(), models.logistic()])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 13)])
def test_every_model_fits_itself_to_the_shape_of_the_images(spec: models.ModelSpec, shape: tuple[int, ...]) -> None:
    assert spec.build(shape, 7)(torch.rand(5, *shape)).shape == (5, 7)


def test_flat_features_suit_the_dense_models_and_the_others_say_so() -> None:
    assert models.logistic().build((30,), 2)(torch.rand(4, 30)).shape == (4, 2)
    assert models.mlp((5,)).build((30,), 2)(torch.rand(4, 30)).shape == (4, 2)
    with pytest.raises(ValueError, match=r"lenet.*\(30,\).*mlp"):
        models.lenet().build((30,), 2)


def test_the_seed_alone_decides_the_initial_weights_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (models.mlp().build((1, 8, 8), 10, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_a_spec_travels_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(models.mlp((3,)))).build((4,), 2)(torch.rand(1, 4)).shape == (1, 2)


def test_a_model_whose_output_does_not_match_the_classes_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*10 classes"):
        models.check_output(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8), 10)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\)"):
        models.check_output(nn.Linear(5, 10), (1, 8, 8), 10)
    with pytest.raises(ValueError, match="no weights"):
        models.check_output(nn.Flatten(), (1, 8, 8), 64)


def test_batch_norm_is_refused_with_what_to_use_instead() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10))
    with pytest.raises(ValueError, match=r"BatchNorm2d.*GroupNorm"):
        models.check_output(model, (1, 8, 8), 10)


@pytest.mark.parametrize("hidden", [(), (0,), (20, -1)])
def test_layer_widths_that_make_no_layer_are_refused(hidden: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="hidden="):
        models.mlp(hidden)
