"""Each example's own gradient clipped, and the sum of them, mostly without ever holding one.

For a linear layer with input `a_i` and loss gradient `g_i` at its output, example i's gradient is the outer product of `g_i`
and `a_i` (Goodfellow 2015, arXiv 1510.01799). Its norm is the product of theirs, and a weighted sum over examples is one
matrix product: both come out of one forward and one backward pass. A convolution is a linear layer applied to patches, whose
gradients are few numbers. Any other model goes the plain way, through `torch.func`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from course_lib.learning.sgd import FlatModel

_AT_ONCE = 2**24  # numbers of per-example gradients held at a time: 64 MB
_EXAMPLES = 256  # examples whose patches are held at a time: 160 MB for the larger CNN
_TINY = 1e-6  # as in Opacus: keeps a clipped gradient within its bound, and a zero one zero
# What treats each example by itself, and has no weights.
_WEIGHTLESS = (
    nn.AvgPool2d, nn.ELU, nn.Flatten, nn.GELU, nn.Identity, nn.LeakyReLU, nn.MaxPool2d, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Tanh,
)  # fmt: skip


def clipped_sum(model: FlatModel, x: Tensor, y: Tensor, bound: float) -> Tensor:
    """Return the sum `(d,)` over the batch of each example's gradient of the cross-entropy, scaled down to norm `bound`.

    An example whose gradient is not finite counts as zero: it is then within the bound, and does not spoil the others. No
    example at all gives zero.
    """
    total = torch.zeros_like(model.theta)
    for x_part, y_part in _affordable(model, x, y):
        parts = _gradients(model, x_part, y_part)
        sizes = _norms(parts)
        if not sizes.isfinite().all():
            fine = sizes.isfinite()
            total += clipped_sum(model, x_part[fine], y_part[fine], bound)
            continue
        factors = (bound / (sizes + _TINY)).clamp(max=1)
        total += torch.cat([part.weighted_sum(factors).reshape(-1) for part in parts])
    return total


def norms(model: FlatModel, x: Tensor, y: Tensor) -> Tensor:
    """Return the norm of each example's gradient, `(b,)`: what a clipping norm should be compared with."""
    parts = [_norms(_gradients(model, *part)) for part in _affordable(model, x, y)]
    return torch.cat(parts) if parts else torch.zeros(0)


@dataclass(frozen=True)
class _Outer:
    """Gradients of one weight matrix: for each example the outer product of a row of `left` and a row of `right`."""

    left: Tensor
    right: Tensor

    def squares(self) -> Tensor:
        return self.left.square().sum(1) * self.right.square().sum(1)

    def weighted_sum(self, factors: Tensor) -> Tensor:
        return (self.left * factors[:, None]).T @ self.right


@dataclass(frozen=True)
class _Each:
    """Gradients of one parameter, held one by one: `(b, *shape)`."""

    gradients: Tensor

    def squares(self) -> Tensor:
        return self.gradients.flatten(1).square().sum(1)

    def weighted_sum(self, factors: Tensor) -> Tensor:
        return factors @ self.gradients.flatten(1)


def _norms(parts: list[_Outer | _Each]) -> Tensor:
    return torch.stack([part.squares() for part in parts]).sum(0).sqrt()


def _affordable(model: FlatModel, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Split a batch so that the gradients of one part fit into memory. Clipping is by example, so that this changes nothing."""
    size = _EXAMPLES if _readable(model) else max(1, _AT_ONCE // len(model.theta))
    for start in range(0, len(y), size):
        yield x[start : start + size], y[start : start + size]


def _gradients(model: FlatModel, x: Tensor, y: Tensor) -> list[_Outer | _Each]:
    """Return what stands for each example's gradient, parameter by parameter, in the order of `model.parameters`."""
    layers = _readable(model)
    if not layers:
        return [_Each(gradient) for gradient in _one_by_one(model, x, y)]
    inputs, outputs = [], []
    for layer in layers:
        if isinstance(layer, _WEIGHTLESS):
            x = layer(x)
        else:
            inputs.append(x.detach())
            x = layer(x)
            outputs.append(x)
    # The loss of one example depends on its row alone, so the gradient of the sum holds each example's own in its row.
    # Only gradients at outputs are asked for: autograd then leaves out the products that would sum over the batch.
    slopes = torch.autograd.grad(functional.cross_entropy(x, y, reduction="sum"), outputs)
    weighted = [layer for layer in layers if not isinstance(layer, _WEIGHTLESS)]
    parts: list[_Outer | _Each] = []
    for layer, a, g in zip(weighted, inputs, slopes, strict=True):
        if isinstance(layer, nn.Linear):
            parts.append(_Outer(g, a) if a.dim() == 2 else _Each(g.flatten(1, -2).mT @ a.flatten(1, -2)))
            bias = g.flatten(1, -2).sum(1) if g.dim() > 2 else g
        else:
            assert isinstance(layer, nn.Conv2d)
            parts.append(_Each(g.flatten(2) @ _patches(layer, a).mT))
            bias = g.sum((2, 3))
        if layer.bias is not None:
            parts.append(_Each(bias))
    return parts


def _patches(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return `functional.unfold` of the layer's input, `(b, weights of a channel, positions)`: one copy of a view, twice as fast."""
    assert not isinstance(layer.padding, str)
    (top, left), (height, width), (down, right) = layer.padding, layer.kernel_size, layer.dilation
    x = functional.pad(x, (left, left, top, top))
    x = x.unfold(2, down * (height - 1) + 1, layer.stride[0])[..., ::down]
    x = x.unfold(3, right * (width - 1) + 1, layer.stride[1])[..., ::right]
    return x.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)


def _readable(model: FlatModel) -> list[nn.Module]:
    """Return the model's layers in the order in which they are called, or nothing if they or that order are not known here."""
    layers = list(_in_order(model.module))
    held = [parameter for layer in layers for parameter in layer.parameters()]
    known = all(_known(layer) for layer in layers)
    # Every weight must be accounted for, or its gradient would escape the clipping.
    mine = len(held) == len(model.parameters) and all(a is b for a, b in zip(held, model.parameters, strict=True))
    return layers if known and mine else []


def _in_order(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential and not _hooked(module):
        for child in module:
            yield from _in_order(child)
    else:
        yield module


def _known(layer: nn.Module) -> bool:
    if _hooked(layer) or getattr(layer, "inplace", False):
        return False
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) is nn.Linear or type(layer) in _WEIGHTLESS


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _one_by_one(model: FlatModel, x: Tensor, y: Tensor) -> list[Tensor]:
    """Return each example's gradient `(b, *shape)`, one tensor a parameter, for any module."""
    named = dict(model.module.named_parameters())
    if len(named) < len(list(model.module.named_parameters(remove_duplicate=False))):
        return _by_a_loop(model, x, y)  # `functional_call` puts a layer that stands in two places back wrongly
    names = {id(parameter): name for name, parameter in named.items()}
    weights = {names[id(parameter)]: parameter.detach() for parameter in model.parameters}

    def loss(weights: dict[str, Tensor], example: Tensor, label: Tensor) -> Tensor:
        scores = functional_call(model.module, weights, (example[None],))
        return functional.cross_entropy(scores, label[None])

    try:
        found = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")(weights, x, y)
        return list(found.values())
    except RuntimeError:  # recurrent layers are not made for vmap
        return _by_a_loop(model, x, y)


def _by_a_loop(model: FlatModel, x: Tensor, y: Tensor) -> list[Tensor]:
    alone = [model.gradient(x[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    return [torch.stack(gradients) for gradients in zip(*alone, strict=True)]
