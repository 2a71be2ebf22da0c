"""Raw data travels as it is stored, and packing it loses nothing."""

import pytest
import torch

from course_lib import data
from course_lib.rounds.pooling import packed, unpacked


@pytest.mark.parametrize("values", [
    torch.arange(256) / 255,
    torch.arange(256),
    torch.tensor([0.0, 1.0]),
    torch.zeros(0, 3),
])  # fmt: skip
def test_whole_numbers_up_to_255_take_a_byte_each_and_come_back_to_the_bit(values: torch.Tensor) -> None:
    stored = packed(values)
    assert stored.dtype == torch.uint8 and stored.shape == values.shape
    assert torch.equal(unpacked(stored, values.dtype), values)


@pytest.mark.parametrize("values", [
    torch.tensor([0.5]),
    torch.tensor([1 / 255, 2.0]),
    torch.tensor([-1 / 255]),
    torch.tensor([0, 256]),
    torch.tensor([-1]),
    torch.tensor([1 / 255 + 1e-9]).nextafter(torch.tensor(1.0)),
])  # fmt: skip
def test_anything_else_travels_as_it_is(values: torch.Tensor) -> None:
    assert packed(values) is values
    assert unpacked(values, values.dtype) is values


def test_the_images_of_mnist_take_a_byte_a_pixel_and_standardised_features_four() -> None:
    images, _ = data.load("mnist5k")
    assert packed(images.x).nbytes == len(images) * 28 * 28
    patients, _ = data.load("breast_cancer")
    assert packed(patients.x).nbytes == patients.x.nbytes
