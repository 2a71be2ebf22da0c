"""Labels read from the last bias: certain for one image, a good guess for a few."""

import pytest
import torch
from torch import nn

from course_lib.adversary.leakage import label, labels, last_bias
from tests.adversary.leakage.small import MLP, TRAIN, gradient


def bias(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    module = MLP.build(TRAIN.shape, 10, seed)
    return last_bias(module, gradient(module, TRAIN.x[images], TRAIN.y[images]))


def test_the_label_of_one_image_is_right_for_60_of_60() -> None:
    for image in range(60):
        found = bias(torch.tensor([image]), seed=image % 7)
        assert label(found) == int(TRAIN.y[image])
        assert labels(found, 1).tolist() == [int(TRAIN.y[image])]


def test_several_labels_come_back_with_their_counts() -> None:
    # Without a model: the shares it predicts are all 1/4, and the labels are 2, 2, 0.
    known = torch.full((4,), 0.25) - torch.tensor([1.0, 0.0, 2.0, 0.0]) / 3
    assert labels(known, 3).tolist() == [0, 2, 2]
    assert labels(known, 3).dtype == torch.int64


def test_what_the_model_predicts_on_average_is_taken_off_first() -> None:
    predicted = torch.tensor([0.7, 0.1, 0.1, 0.1])
    gone = predicted - torch.tensor([2.0, 1.0, 0.0, 0.0]) / 3  # 0 twice, 1 once, though entry 1 is the lowest
    assert labels(gone, 3, predicted).tolist() == [0, 0, 1]
    assert labels(gone, 3).tolist() != [0, 0, 1]


def test_of_eight_labels_nearly_all_are_right_and_with_more_images_than_classes_some_are_missed() -> None:
    def right(size: int) -> float:
        shares = []
        for draw in range(10):
            images = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(draw))[:size]
            found, true = (torch.bincount(y, minlength=10) for y in (labels(bias(images), size), TRAIN.y[images]))
            shares.append(float(torch.minimum(found, true).sum()) / size)
        return sum(shares) / len(shares)

    assert right(8) > 0.95
    assert right(64) < 1


def test_what_is_no_gradient_of_cross_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="no entry is below zero"):
        label(-bias(torch.tensor([3])).clamp(max=0))
    with pytest.raises(ValueError, match="batch=0 must be at least 1"):
        labels(torch.zeros(10), 0)
    with pytest.raises(ValueError, match="it has none"):
        last_bias(nn.Linear(3, 2, bias=False), torch.zeros(6))
