"""Division: an input of a linear layer stands in its gradient.

With scores `W x + b`, each row of the weights' gradient is the bias' gradient times the input: dL/dW_i = dL/db_i x (Phong et al.
2018, IACR eprint 2017/715, section 3). With several examples both are sums, and the quotient is a mixture, except for a row that
one example alone activates. Several such rows agree with each other to the last digits, which mixtures do by chance alone: so an observer can
tell them apart (the trap rows of Boenisch et al. 2023, arXiv 2112.02918, here without any trap).
"""

import torch
from torch import Tensor, nn


def first_layer(module: nn.Module, message: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts of a message `(d,)` that belong to the first layer with weights: `(out, in)` and `(out,)`.

    Raises ValueError unless that layer is linear, with a bias, and the message as long as the model.
    """
    own = [parameter for parameter in module.parameters() if parameter.requires_grad]
    total = sum(parameter.numel() for parameter in own)
    if message.shape != (total,):
        raise ValueError(f"the message has shape {tuple(message.shape)}, but the model has {total} weights")
    layer = next(layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None)
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        raise ValueError(f"the first layer is {layer}: division needs a linear one with a bias, as in models.mlp()")
    size = layer.weight.numel()
    return message[:size].reshape(layer.weight.shape), message[size : size + len(layer.bias)]


def from_linear(weight: Tensor, bias: Tensor) -> Tensor:
    """Return the quotients dW_i / db_i `(k, in)`, one a row that is activated at all, the largest |db_i| first.

    `weight: (out, in)`, `bias: (out,)`: the gradients of a linear layer, or any multiple of them. With one example each row
    is its input, up to rounding; also after several steps on that example, since sums of multiples are multiples.
    """
    order = bias.abs().argsort(descending=True)
    order = order[bias[order] != 0]
    return weight[order] / bias[order][:, None]


def surest(candidates: Tensor) -> Tensor:
    """Return the first quotient `(in,)`, whose division loses least. Raises ValueError where no row is activated."""
    if not len(candidates):
        raise ValueError("no row of the layer has a gradient: nothing can be read from it")
    return candidates[0]


def agreeing(candidates: Tensor, tolerance: float = 1e-3) -> Tensor:
    """Return what at least two rows agree on `(k, in)`: the mean square of their difference is below tolerance^2.

    Each group of rows is returned once, by its first. Such a quotient is one example, found without the truth, or now and then a
    mixture on which two rows agree by chance.
    """
    near = torch.cdist(candidates.double(), candidates.double()) < tolerance * candidates.shape[1] ** 0.5
    left, found = torch.ones(len(candidates), dtype=torch.bool), []
    for row in range(len(candidates)):
        if left[row]:
            if int(near[row].sum()) > 1:
                found.append(row)
            left &= ~near[row]
    return candidates[found]
