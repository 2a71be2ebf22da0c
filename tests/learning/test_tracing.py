"""A recorded gradient is the real one, however its operations were put in order."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.learning.tracing import record_gradient


class Formats(TorchDispatchMode):
    """Notes how the images lie in memory that max-pooling is given: channel after channel, or channels side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.side_by_side: list[bool] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.max_pool2d_with_indices.default:
            self.side_by_side.append(not args[0].is_contiguous())
        return function(*args, **(kwargs or {}))


def net(channels: int, pool: nn.Module, size: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(size, 3))


@pytest.mark.parametrize(("channels", "pool", "size", "turned"), [
    (8, nn.MaxPool2d(2), 8 * 16, True),
    (20, nn.MaxPool2d(3, stride=2, padding=1), 20 * 16, True),
    (16, nn.MaxPool2d(2, stride=1, dilation=2), 16 * 36, True),
    (16, nn.MaxPool2d(3, ceil_mode=True), 16 * 9, True),
    (7, nn.MaxPool2d(2), 7 * 16, False),  # too few channels to gain by it
    (8, nn.Sequential(nn.Unflatten(0, (1, 5)), nn.Flatten(0, 1), nn.MaxPool2d(2)), 8 * 16, True),
])  # fmt: skip
def test_pooling_several_channels_at_once_changes_no_bit(
    channels: int, pool: nn.Module, size: int, turned: bool
) -> None:
    module = net(channels, pool, size)
    parameters = list(module.parameters())
    chance = torch.Generator().manual_seed(1)

    def batch() -> tuple[Tensor, Tensor]:
        x = torch.randn(5, 1, 8, 8, generator=chance)
        x[:, :, 2:6, 1:7] = 0.5  # flat: there a window has several largest values, and the first one counts
        return x, torch.randint(3, (5,), generator=chance)

    _, repeat = record_gradient(module, parameters, *batch())
    assert repeat is not None
    x, y = batch()
    with Formats() as seen, torch.inference_mode():
        repeated = repeat(x, y, *(parameter.detach() for parameter in parameters))
    real = torch.autograd.grad(nn.functional.cross_entropy(module(x), y), parameters)
    assert all(torch.equal(one, other) for one, other in zip(repeated, real, strict=True))
    assert seen.side_by_side == [turned]


def test_images_that_already_lie_side_by_side_stay_so() -> None:
    filters = nn.Conv2d(3, 8, 3, padding=1)
    filters.weight.data = filters.weight.data.contiguous(memory_format=torch.channels_last)
    module = nn.Sequential(filters, nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    parameters, x, y = list(module.parameters()), torch.randn(5, 3, 8, 8), torch.arange(5) % 3
    with Formats() as seen:
        gradient, repeat = record_gradient(module, parameters, x, y)
    assert repeat is not None and seen.side_by_side == [True]
    with torch.inference_mode():
        again = repeat(x, y, *(parameter.detach() for parameter in parameters))
    assert all(torch.equal(one, other) for one, other in zip(again, gradient, strict=True))
