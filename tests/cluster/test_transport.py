"""Values survive the way between processes, and carry nothing along that was not asked for."""

import pytest
import torch
from torch import nn

from course_lib import cluster
from course_lib.cluster import transport


def there_and_back(value):
    return transport.loads(bytes(transport.dumps(value)))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5), torch.zeros(0), torch.zeros(2, 0, 3), torch.arange(6).reshape(2, 3).T,
        torch.tensor([True, False]), torch.ones(3, dtype=torch.bfloat16), torch.tensor([1 + 2j]),
        torch.tensor([float("inf"), -0.0]), torch.arange(10)[::3], torch.tensor([1 + 2j]).conj(),
        torch.ones(2, 3).to_sparse(), torch.ones(3, requires_grad=True),
    ],
    ids=lambda tensor: f"{tensor.dtype} {tuple(tensor.shape)} {tensor.layout}",
)  # fmt: skip
def test_tensors_come_back_as_they_left(tensor):
    back = there_and_back(tensor)
    assert back.dtype == tensor.dtype and back.requires_grad == tensor.requires_grad
    assert torch.equal(back.to_dense(), tensor.to_dense())


def test_a_tensor_that_arrived_can_be_changed_in_place():
    back = there_and_back({"weights": torch.zeros(3)})["weights"]
    back += 1
    assert back.tolist() == [1, 1, 1]


def test_a_view_travels_without_the_rest_of_its_storage():
    everybody = torch.zeros(1000, 784)
    everybody[500:] = 123.0
    mine = everybody[:10]
    packed = bytes(transport.dumps(mine))
    assert len(packed) < 10 * 784 * 4 + 1000
    assert torch.full((100,), 123.0).numpy().tobytes() not in packed
    assert torch.equal(transport.loads(packed), mine)


@pytest.mark.slow
def test_models_and_large_results_come_back_from_a_worker():
    model = nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4))

    def work(module: nn.Module) -> tuple[nn.Module, torch.Tensor]:
        return module, torch.arange(5_000_000)

    back, large = cluster.launch(work, model, workers=1)[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters(), strict=True))
    assert torch.equal(large, torch.arange(5_000_000))
