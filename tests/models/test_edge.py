"""Smaller models: what 8 bits and pruning may change, measured against plain arithmetic and torch's own quantisation."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_lib import models
from course_lib.models import edge


def test_rounding_is_off_by_half_a_level_at_most_and_keeps_zero_rows() -> None:
    x = torch.randn(7, 33, generator=torch.Generator().manual_seed(0))
    x[3] = 0
    whole, scale = edge.rounded(x)
    assert whole.dtype == torch.int8 and whole.abs().amax(1).tolist() == [127, 127, 127, 0, 127, 127, 127]
    assert ((whole.float() * scale - x).abs() <= scale / 2 * 1.001).all()


def test_the_product_of_whole_numbers_is_exact() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randint(-127, 128, shape, generator=generator, dtype=torch.int8) for shape in ((5, 800), (800, 3)))
    assert torch.equal(edge.int8_product(a, b).long(), a.long() @ b.long())


def test_an_8_bit_convolution_is_the_convolution_of_what_was_rounded() -> None:
    layer = nn.Conv2d(3, 4, 5, padding=2, stride=(1, 2))
    x = torch.randn(2, 3, 9, 12)
    there = edge.Conv8(layer)(x)
    assert there.shape == layer(x).shape
    assert (there - layer(x)).abs().max() < 0.03 * layer(x).abs().max()
    with pytest.raises(ValueError, match="groups"):
        edge.Conv8(nn.Conv2d(4, 4, 3, groups=2))


@pytest.mark.parametrize(
    ("spec", "shape", "classes"),
    [
        (models.mlp((20,)), (3, 6), 5),
        (models.lenet(), (3, 16, 16), 8),
        (models.taste(), (2, 12), 2),
        (models.logistic(), (9,), 3),
    ],
)
def test_8_bits_give_nearly_the_scores_of_32(spec: models.ModelSpec, shape: tuple[int, ...], classes: int) -> None:
    module = spec.build(shape, classes, seed=0)
    x = torch.randn(64, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        exact, there = module(x), edge.quantised(module)(x)
    assert not torch.equal(exact, there)
    assert (there - exact).abs().max() < 0.05 * exact.abs().max()
    assert any(buffer.dtype == torch.int8 for buffer in edge.quantised(module).buffers())
    assert all(
        parameter.dtype == torch.float32 for parameter in module.parameters()
    )  # the one that was given is untouched


def test_text_models_keep_their_scores_in_8_bits() -> None:
    module = models.causal().build((16,), 37, seed=0)
    x = torch.randint(0, 37, (50, 16), generator=torch.Generator().manual_seed(3)).float()
    with torch.no_grad():
        exact, there = module(x), edge.quantised(module)(x)
    assert (there - exact).abs().max() < 0.05 * exact.abs().max()
    assert len(edge.pack(edge.quantised(module))) < 0.4 * len(edge.pack(module))


def test_it_is_as_close_as_torchs_own_dynamic_quantisation() -> None:
    module = models.mlp((64,)).build((100,), 10, seed=0)
    x = torch.randn(256, 100, generator=torch.Generator().manual_seed(4))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecated
        theirs = torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)(x)
        ours, exact = edge.quantised(module)(x), module(x)
    assert (ours - exact).abs().mean() <= 1.1 * (theirs - exact).abs().mean()


def test_pruning_leaves_the_largest_weights_and_every_bias() -> None:
    module: Any = models.mlp((30,)).build((20,), 4, seed=0)
    theirs: Any = models.mlp((30,)).build((20,), 4, seed=0)
    kept: Any = edge.pruned(module, 0.8)
    before = torch.cat([module[1].weight.flatten(), module[3].weight.flatten()]).detach()
    after = torch.cat([kept[1].weight.flatten(), kept[3].weight.flatten()]).detach()
    assert (after == 0).double().mean() == pytest.approx(0.8, abs=0.01)
    assert torch.equal(after[after != 0], before[after != 0])
    assert before[after == 0].abs().max() <= before[after != 0].abs().min()
    assert torch.equal(kept[1].bias, module[1].bias) and kept[1].weight.requires_grad
    assert list(kept.state_dict()) == list(module.state_dict())
    prune.global_unstructured([(theirs[1], "weight"), (theirs[3], "weight")], prune.L1Unstructured, amount=0.8)
    assert torch.equal(theirs[1].weight, kept[1].weight) and torch.equal(theirs[3].weight, kept[3].weight)
    with pytest.raises(ValueError, match="share=1"):
        edge.pruned(module, 1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_what_is_packed_can_be_unpacked_and_is_shorter_the_less_is_left(share: float) -> None:
    module = edge.pruned(models.lenet().build((1, 12, 12), 10, seed=0), share)
    there = edge.unpack(edge.pack(module), models.lenet().build((1, 12, 12), 10, seed=1))
    assert all(
        torch.equal(a, b) for a, b in zip(module.state_dict().values(), there.state_dict().values(), strict=True)
    )
    weights = sum(parameter.numel() for parameter in module.parameters())
    # 4 bytes a weight that is left, a bit for each, and what torch writes beside the numbers.
    assert len(edge.pack(module)) < 4 * (1 - share) * weights + (weights / 8 if share else 0) + 8000
