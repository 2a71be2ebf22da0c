"""A trained model made smaller for the device that runs it: 8-bit weights and activations, and small weights left out.

Dynamic quantisation: weights are rounded once, one scale a row; what enters a layer is rounded as it comes, one scale an example; the
product is one of whole numbers (Jacob et al. 2018, arXiv 1712.05877, section 2, without their zero points: scales are symmetric). Pruning by
magnitude (Han et al. 2015, arXiv 1506.02626) without training again afterwards. torch's own `quantize_dynamic` does the first too, but is
on its way out and has no convolutions; the tests compare with it.
"""

import io
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 127  # on either side of 0, in 8 bits
_WEIGHTS = (nn.Linear, nn.Conv2d, nn.Embedding)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return `x: (n, d)` in whole numbers from -127 to 127, int8 `(n, d)`, and the scale of each row `(n, 1)`: x is about their product."""
    scale = x.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / _LEVELS
    return (x / scale).round().to(torch.int8), scale


def int8_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the exact product of int8 matrices `(n, d)` and `(d, m)` as float32, up to d = 1,000 to the last digit."""
    try:
        return torch._int_mm(a, b).float()
    except (AttributeError, RuntimeError):  # not on every machine; float32 holds whole numbers up to 2**24
        return a.float() @ b.float()


class Linear8(nn.Module):
    """A linear layer in 8 bits: int8 weights `(out, in)` with one scale a row, and a bias in 32 bits."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        whole, scale = rounded(weight.detach())
        self.register_buffer("weight", whole)
        self.register_buffer("scale", scale.T)  # (1, out)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        rows, scale = rounded(x.flatten(0, -2))
        y = int8_product(rows, self.weight.T) * scale * self.scale
        y = y if self.bias is None else y + self.bias
        return y.unflatten(0, x.shape[:-1])


class Conv8(nn.Module):
    """A convolution in 8 bits: a `Linear8` on patches. Raises ValueError for groups or a dilation, which the course's models have not."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        if layer.groups != 1 or layer.dilation != (1, 1) or isinstance(layer.padding, str):
            raise ValueError(
                f"{layer} has groups, a dilation or a padding by name: leave it as it is, or give the padding in numbers"
            )
        self.linear = Linear8(layer.weight.flatten(1), layer.bias)
        self.kernel, self.padding, self.stride = layer.kernel_size, layer.padding, layer.stride

    def forward(self, x: Tensor) -> Tensor:
        patches = functional.unfold(x, self.kernel, padding=self.padding, stride=self.stride)
        height, width = (
            (side + 2 * pad - kernel) // stride + 1
            for side, pad, kernel, stride in zip(x.shape[2:], self.padding, self.kernel, self.stride, strict=True)
        )
        return self.linear(patches.transpose(1, 2)).transpose(1, 2).unflatten(2, (height, width))


class Embedding8(nn.Module):
    """An embedding whose rows are kept in 8 bits."""

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__()
        whole, scale = rounded(layer.weight.detach())
        self.register_buffer("weight", whole)
        self.register_buffer("scale", scale)
        self.num_embeddings = layer.num_embeddings

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[x].float() * self.scale[x]


def quantised(module: nn.Module) -> nn.Module:
    """Return a copy whose linear layers, convolutions and embeddings have 8-bit weights; it is for using, not for training."""
    copy = deepcopy(module).eval()
    for name, layer in list(copy.named_modules()):
        if isinstance(layer, nn.Linear):
            made: nn.Module = Linear8(layer.weight, layer.bias)
        elif isinstance(layer, nn.Conv2d):
            made = Conv8(layer)
        elif isinstance(layer, nn.Embedding):
            made = Embedding8(layer)
        else:
            continue
        if not name:
            return made
        above, _, own = name.rpartition(".")
        setattr(copy.get_submodule(above), own, made)
    return copy


def pruned(module: nn.Module, share: float) -> nn.Module:
    """Return a copy without the smallest weights: a `share` (0 to 1) of all that are not biases is 0. Raises ValueError for another share."""
    if not 0 <= share < 1:
        raise ValueError(f"share={share} must be at least 0 and below 1: 0.8 leaves one weight in five")
    copy = deepcopy(module)
    weights = [layer.weight for layer in copy.modules() if isinstance(layer, _WEIGHTS)]
    with torch.no_grad():
        # In place: torch's own pruning puts a weight behind its bias, and the flat vector of weights would be another.
        flat = torch.cat([weight.flatten() for weight in weights])
        flat[flat.abs().argsort()[: round(share * len(flat))]] = 0
        for weight, left in zip(weights, flat.split([weight.numel() for weight in weights]), strict=True):
            weight.copy_(left.reshape(weight.shape))
    return copy


def pack(module: nn.Module) -> bytes:
    """Return a model's numbers as a file has them: each tensor whole, or, where that is shorter, a bit a number and those that are not 0."""
    stream = io.BytesIO()
    torch.save({name: _shorter(tensor) for name, tensor in module.state_dict().items()}, stream)
    return stream.getvalue()


def unpack(content: bytes, module: nn.Module) -> nn.Module:
    """Return a copy of a model of the same kind with the numbers that `pack` wrote."""
    copy = deepcopy(module)
    found = torch.load(io.BytesIO(content), weights_only=True)
    copy.load_state_dict({name: _whole(each) for name, each in found.items()})
    return copy


def _shorter(tensor: Tensor) -> Tensor | tuple[Tensor, Tensor, list[int]]:
    flat = tensor.flatten()
    there = flat != 0
    if tensor.nbytes <= len(flat) / 8 + int(there.sum()) * tensor.element_size():
        return tensor.clone()
    bits = functional.pad(there.to(torch.uint8), (0, -len(there) % 8)).reshape(-1, 8)
    return (bits * 2 ** torch.arange(8)).sum(1).to(torch.uint8), flat[there], list(tensor.shape)


def _whole(kept: Tensor | tuple[Tensor, Tensor, list[int]]) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    packed, values, shape = kept
    bits = (packed[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    count = torch.Size(shape).numel()
    flat = torch.zeros(count, dtype=values.dtype)
    flat[bits.flatten()[:count].bool()] = values
    return flat.reshape(shape)
