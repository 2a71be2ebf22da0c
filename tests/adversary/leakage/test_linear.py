"""Division reads inputs out of a linear layer's gradient, exactly where one example alone activates a row."""

import pytest
import torch
from torch import nn

from course_lib import models
from course_lib.adversary.leakage import agreeing, first_layer, from_linear, psnr, surest
from course_lib.models import ModelSpec
from tests.adversary.leakage.small import MLP, TRAIN, gradient


def quotients(images: list[int], seed: int = 0, spec: ModelSpec = MLP) -> torch.Tensor:
    module = spec.build(TRAIN.shape, 10, seed)
    return from_linear(*first_layer(module, gradient(module, TRAIN.x[images], TRAIN.y[images])))


@pytest.mark.parametrize("image", range(8))
def test_one_image_comes_back_above_60_db_from_every_row(image: int) -> None:
    truth = TRAIN.x[image].flatten()
    found = quotients([image], seed=image)
    assert psnr(surest(found), truth) > 100
    assert 5 < len(found) <= 32
    assert all(psnr(row, truth) > 60 for row in found)


def test_a_row_that_one_example_alone_activates_gives_it_back_and_a_shared_row_gives_a_mixture() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        layer.bias.zero_()
    x = torch.tensor([[2.0, 1.0], [1.0, 3.0]])  # the first row sees only the first example, the second row both
    (torch.tensor([[1.0, 3.0]]) * layer(x).relu()).sum().backward()
    assert layer.weight.grad is not None and layer.bias.grad is not None
    found = from_linear(layer.weight.grad, layer.bias.grad)
    assert found.tolist() == [
        [1.5, 2.0],
        [2.0, 1.0],
    ]  # the largest bias gradient first: the mean of both, then the first alone


def test_rows_without_a_gradient_are_left_out_and_nothing_else_is() -> None:
    weight, bias = torch.tensor([[2.0, 4.0], [0.0, 0.0], [3.0, -3.0]]), torch.tensor([-2.0, 0.0, 1.0])
    assert from_linear(weight, bias).tolist() == [[-1.0, -2.0], [3.0, -3.0]]
    with pytest.raises(ValueError, match="no row of the layer has a gradient"):
        surest(from_linear(torch.zeros(2, 3), torch.zeros(2)))


def test_what_two_rows_agree_on_holds_every_image_once_and_few_mixtures() -> None:
    found = agreeing(quotients([0, 1, 2, 3], spec=models.mlp((400,))))
    nearest = torch.cdist(found, TRAIN.x[:4].flatten(1)).min(1)
    exact = nearest.indices[nearest.values < 1e-3].tolist()
    assert sorted(exact) == [0, 1, 2, 3]
    assert len(found) <= 6


def test_rows_that_do_not_agree_are_taken_for_mixtures() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.5, 0.5001], [0.9, 0.9]])
    assert agreeing(rows).tolist() == [[0.5, 0.5]]
    assert agreeing(rows, tolerance=1e-6).shape == (0, 2)
    assert agreeing(torch.zeros(0, 4)).shape == (0, 4)


def test_a_model_without_a_linear_first_layer_and_a_message_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the first layer is Conv2d.* division needs a linear one"):
        first_layer(models.lenet().build((1, 28, 28), 10), torch.zeros(61_706))
    with pytest.raises(ValueError, match="bias=False"):
        first_layer(nn.Linear(3, 2, bias=False), torch.zeros(6))
    with pytest.raises(ValueError, match=r"shape \(3,\), but the model has 8 weights"):
        first_layer(nn.Linear(3, 2), torch.zeros(3))
