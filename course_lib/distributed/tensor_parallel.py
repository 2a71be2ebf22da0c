"""Tensor parallel: every worker holds a part of each layer, and all work on the same examples (Shoeybi et al. 2019,
arXiv 1909.08053, section 3).

A linear layer is cut by its outputs (columns, in the paper's words) or by its inputs (rows). One cut each way in a row needs
one sum over workers forwards, behind the second, and one backwards, before the first.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.cluster.collectives import ring_all_reduce
from course_lib.cluster.traffic import Channel
from course_lib.models.gpt import MLP, Attention, Block


class Enter(torch.autograd.Function):
    """The paper's f: forwards the identity, backwards the sum over workers, for each used the input for its own part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channel: Channel) -> Tensor:
        ctx.channel = channel
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _total(ctx.channel, gradients[0], "gradients"), None


class Leave(torch.autograd.Function):
    """The paper's g: forwards the sum over workers, backwards the identity, for the sum's gradient is that of each term."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channel: Channel) -> Tensor:
        return _total(channel, x, "activations")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class Shared(nn.Module):
    """What a part of the model reads that is cut into columns: `inside` gets the input of all, and all get its gradient."""

    def __init__(self, inside: nn.Module, channel: Channel) -> None:
        super().__init__()
        self.inside, self.channel = inside, channel

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(Enter.apply(x, self.channel))  # type: ignore[no-untyped-call]


class RowParallel(nn.Module):
    """A linear layer of which each worker holds some inputs: their products are added up, then the bias is added, once.

    `x: (..., inputs / workers)` to `(..., outputs)`. Raises ValueError where the workers do not divide the inputs.
    """

    def __init__(self, whole: nn.Linear, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self.weight = nn.Parameter(_part(whole.weight, channel, dim=1))
        self.bias = None if whole.bias is None else nn.Parameter(whole.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        total = Leave.apply(nn.functional.linear(x, self.weight), self.channel)  # type: ignore[no-untyped-call]
        return total if self.bias is None else total + self.bias


def columns(whole: nn.Linear, channel: Channel) -> nn.Linear:
    """Return this worker's part of a linear layer that is cut by its outputs: a smaller one. Put it inside `Shared`.

    Raises ValueError where the workers do not divide the outputs.
    """
    weight = _part(whole.weight, channel, dim=0)
    part = nn.Linear(weight.shape[1], weight.shape[0], bias=whole.bias is not None, device="meta")
    part.weight = nn.Parameter(weight)
    if whole.bias is not None:
        part.bias = nn.Parameter(_part(whole.bias, channel, dim=0))
    return part


def split(model: nn.Sequential, channel: Channel) -> nn.Sequential:
    """Return this worker's part of a GPT: its heads of each attention, its share of each perceptron's hidden units.

    All else, that is embedding, normalisation and head, is held by every worker, and stays the same on all of them: they see
    the same examples. Train it with any optimiser. Raises ValueError where the workers do not divide the heads or hidden
    units, or the model has no blocks.
    """
    blocks = [layer for layer in model if isinstance(layer, Block)]
    if not blocks:
        raise ValueError("the model has no blocks of models.gpt to cut: pass models.gpt().build(...)")
    for block in blocks:
        _check(block.attention, block.mlp, channel.world)
    return nn.Sequential(*(_split(layer, channel) if isinstance(layer, Block) else deepcopy(layer) for layer in model))


def _split(block: Block, channel: Channel) -> Block:
    part: Any = deepcopy(block)  # Any, for its parts become modules of other classes
    attention, mlp = part.attention, part.mlp
    attention.heads //= channel.world
    attention.query, attention.key = columns(attention.query, channel), columns(attention.key, channel)
    attention.value, attention.out = columns(attention.value, channel), RowParallel(attention.out, channel)
    mlp.up, mlp.down = columns(mlp.up, channel), RowParallel(mlp.down, channel)
    part.attention, part.mlp = Shared(attention, channel), Shared(mlp, channel)
    return part


def _check(attention: Attention, mlp: MLP, workers: int) -> None:
    if attention.heads % workers:
        raise ValueError(
            f"{attention.heads} heads cannot be dealt to {workers} workers evenly: take a model whose heads are a multiple"
        )
    if mlp.up.out_features % workers:
        raise ValueError(f"{mlp.up.out_features} hidden units cannot be dealt to {workers} workers evenly")


def _part(tensor: Tensor, channel: Channel, dim: int) -> Tensor:
    if tensor.shape[dim] % channel.world:
        raise ValueError(
            f"dimension {dim} of weights of shape {tuple(tensor.shape)} cannot be dealt to {channel.world} workers evenly: take a "
            f"layer whose size there is a multiple of {channel.world}"
        )
    return tensor.detach().chunk(channel.world, dim)[channel.rank].clone()


def _total(channel: Channel, tensor: Tensor, kind: str) -> Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    ring_all_reduce(channel, total, kind)
    return total
