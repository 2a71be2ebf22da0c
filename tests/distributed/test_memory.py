"""Bytes of tensors are counted as they come and go, and a budget is kept."""

import sys

import pytest
import torch

from course_lib import cluster
from course_lib.distributed.memory import REST, TensorMemory, budget

KB = 256  # floats


def test_the_peak_is_what_lived_together_and_a_storage_counts_once() -> None:
    before = torch.zeros(10 * KB)
    with TensorMemory(lambda: {"before": [before]}) as memory:
        one = torch.ones(3 * KB)
        view = one[:KB].view(16, 16)  # the same memory
        del one, view
        two = torch.ones(4 * KB) + 1  # both sides of the sum live for a moment
        two.untyped_storage().resize_(0)
        for _ in range(5):
            torch.zeros(7 * KB)
    assert memory.peak == {"before": 10 * 1024, REST: 8 * 1024}
    assert not len(two.untyped_storage())


def test_what_a_name_stands_for_is_asked_at_the_peak_and_again_when_there_is_more() -> None:
    kept: list[torch.Tensor] = []
    with TensorMemory(lambda: {"kept": kept}) as memory:
        kept.append(torch.ones(KB))
        kept.append(kept[0] * 2)
        torch.ones(KB)
    assert memory.peak == {"kept": 2 * 1024, REST: 1024}


def test_the_backward_pass_is_seen_with_its_gradients_and_what_it_frees() -> None:
    weight = torch.ones(100 * KB, requires_grad=True)
    with TensorMemory(
        lambda: {"weight": [weight], "gradient": [weight.grad] if weight.grad is not None else []}
    ) as memory:
        (weight.exp() * 2).sum().backward()  # exp is kept for the way back, the product is not
        forward = dict(memory.peak)
        weight.grad = None
    assert forward["weight"] == 100 * 1024
    assert 2 * 100 * 1024 <= sum(forward.values()) - forward["weight"] <= 3 * 100 * 1024 + 64


@pytest.mark.slow
def test_of_a_tensor_that_is_spread_over_processes_the_own_part_counts() -> None:
    def spread() -> dict[str, int]:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = init_device_mesh("cpu", (2,))
        whole = distribute_tensor(torch.ones(2 * KB), mesh, [Shard(0)])
        with TensorMemory(lambda: {"spread": [whole]}) as memory:
            twice = whole * 2
            del twice
        return memory.peak

    assert cluster.launch(spread, timeout=200) == [{"spread": 1024, REST: 1024}] * 2


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces it")
def test_a_budget_stops_what_exceeds_it_and_ends_with_its_block() -> None:
    def takes(megabytes: int) -> str:
        try:
            with budget(100_000_000):
                torch.ones(megabytes * 250_000)
        except RuntimeError as error:
            torch.ones(megabytes * 250_000)  # afterwards it works
            return str(error)
        return "fitted"

    assert cluster.launch(takes, 50, workers=1, joined=False) == ["fitted"]
    assert "allocate memory" in cluster.launch(takes, 200, workers=1, joined=False)[0]


def test_where_the_system_enforces_nothing_tensors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with budget(3 * 1024):
        kept = torch.ones(2 * KB)
        torch.ones(KB)
        with pytest.raises(MemoryError, match="can't allocate memory: tensors of 4,096 bytes, where 3,072 are allowed"):
            torch.ones(2 * KB)
        with pytest.raises(MemoryError):  # and again
            torch.ones(2 * KB)
    assert len(torch.cat([kept, torch.ones(4 * KB)])) == 6 * KB
