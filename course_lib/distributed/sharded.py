"""ZeRO by hand: what every data-parallel worker holds in full, each can hold a part of (Rajbhandari et al. 2020,
arXiv 1910.02054, sections 5 and 7). `fully_shard` has torch's version.
"""

import warnings
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from course_lib.cluster.traffic import Channel
from course_lib.distributed.adam import Adam
from course_lib.distributed.halves import all_gather, padded, reduce_scatter
from course_lib.settings import whole

STAGES = {0: "nothing", 1: "optimiser state", 2: "optimiser state and gradients", 3: "all three"}


class Layer:
    """One layer of the model: all its weights are views of one vector `flat`, `own` is this worker's part of that."""

    def __init__(self, module: nn.Module, channel: Channel, stage: int) -> None:
        self.module, self.channel, self.stage = module, channel, stage
        self.parameters = list(module.parameters())
        sizes = [parameter.numel() for parameter in self.parameters]
        self.flat = torch.zeros(padded(sum(sizes), channel.world), dtype=self.parameters[0].dtype if sizes else None)
        for view, parameter in zip(self.flat[: sum(sizes)].split(sizes), self.parameters, strict=True):
            parameter.data = view.view_as(parameter).copy_(parameter.data)
        self.own = self.flat if stage == 0 else self.flat.chunk(channel.world)[channel.rank]
        self.gradient = torch.empty(0)
        if stage == 3:
            self.own = self.own.clone()
            self.free()

    def gather(self) -> None:
        """Have all weights: stage 3 gets them from the others, who do the same."""
        if self.stage == 3:
            self.flat.untyped_storage().resize_(self.flat.nbytes)
            flat = self.flat.data  # not a change that autograd has to know of: the weights are those of before
            flat.chunk(self.channel.world)[self.channel.rank].copy_(self.own)
            all_gather(self.channel, flat, "weights")

    def free(self) -> None:
        """Hold only the own weights: stage 3 gives the memory of the rest back."""
        if self.stage == 3:
            self.flat.untyped_storage().resize_(0)

    def keep(self, gradients: Sequence[Tensor]) -> None:
        """Keep what this worker computed: in full until `reduce`, or from stage 2 on only the own part of the sum."""
        self.gradient = torch.zeros(len(self.flat), dtype=self.flat.dtype)
        sizes = [gradient.numel() for gradient in gradients]
        for view, gradient in zip(self.gradient[: sum(sizes)].split(sizes), gradients, strict=True):
            view.copy_(gradient.reshape(-1))
        if self.stage >= 2:
            self.reduce()

    def reduce(self) -> None:
        """Turn the worker's gradient into the sum over workers: stage 0 needs all of it, the others their own part."""
        part = reduce_scatter(self.channel, self.gradient, "gradients")
        if self.stage == 0:
            all_gather(self.channel, self.gradient, "gradients")
        else:
            self.gradient = part.clone()  # without the rest


class Sharded:
    """A model of layers in a row, on one of the workers that train it together with Adam.

    `stage`: what each worker holds only a part of, see STAGES; the steps taken are those of one process in every stage.
    `layers`: each takes what the one before returns; an nn.Sequential, or a generator that builds them one by one, so that
    no worker ever holds them all. Raises ValueError for what cannot be sharded.
    """

    def __init__(self, layers: Iterable[nn.Module], stage: int, channel: Channel, learning_rate: float = 0.001) -> None:
        if isinstance(stage, bool) or not isinstance(stage, int) or stage not in STAGES:
            raise ValueError(f"stage={stage!r}: ZeRO has the stages 1 to 3, and 0 is without")
        self.stage, self.channel, self.layers = stage, channel, list[Layer]()
        seen: set[int] = set()
        for number, module in enumerate(layers):
            _check(number, module, seen)
            self.layers.append(Layer(module, channel, stage))
        if not seen:
            raise ValueError("the layers have no weights to train: give at least one of them parameters")
        self._adam = Adam([layer.own for layer in self.layers], learning_rate)

    def step(self, x: Tensor, y: Tensor, of: int) -> float:
        """Take one step on this worker's examples `x: (b, ...)`, `y: (b,)` or `(b, t)`; return their part of the batch's loss.

        `of`: how many targets the whole batch has, over all workers: every target then counts the same, however they are
        dealt. A worker without examples takes part all the same. Raises ValueError for fewer than this worker has.
        """
        if len(x) != len(y):
            raise ValueError(f"{len(x)} examples with targets for {len(y)}: pass as many of both")
        if whole(of, "of", 0) < max(1, y.numel()):
            raise ValueError(
                f"of={of}: the whole batch cannot have fewer targets than this worker, which has {y.numel()}"
            )
        state, kept = x, list[tuple[Tensor, Tensor]]()
        for layer in self.layers:
            layer.gather()
            entering = state.detach().requires_grad_(state.requires_grad)
            state = layer.module(entering)
            kept.append((entering, state))
            layer.free()
        total = functional.cross_entropy(state.flatten(0, -2), y.flatten(), reduction="sum") / of
        loss = total.item()
        (gradient,) = torch.autograd.grad(total, state)
        del state, total
        for layer in reversed(self.layers):
            entering, leaving = kept.pop()
            layer.gather()
            wanted = [*layer.parameters, *([entering] if entering.requires_grad else [])]
            found = torch.autograd.grad(leaving, wanted, gradient, materialize_grads=True) if wanted else ()
            del leaving  # and with it what the layer had kept for this
            layer.free()
            gradient = found[-1] if entering.requires_grad else gradient
            layer.keep(found[: len(layer.parameters)])
        self._update()
        return loss

    def _update(self) -> None:
        """Let Adam change the own part, and in stages 1 and 2 tell the others."""
        if self.stage < 2:
            for layer in self.layers:
                layer.reduce()
        self._adam.step([layer.gradient for layer in self.layers])
        for layer in self.layers:
            layer.gradient = torch.empty(0)
            if self.stage in (1, 2):
                all_gather(self.channel, layer.flat, "weights")

    def weights(self) -> Tensor:
        """Return all weights `(d,)` in the order of the layers; all workers must ask."""
        parts = []
        for layer in self.layers:
            layer.gather()
            parts += [parameter.detach().reshape(-1).clone() for parameter in layer.parameters]
            layer.free()
        return torch.cat(parts)

    def held(self) -> dict[str, list[Tensor]]:
        """Return the tensors that this worker holds for training, by what they are: see `memory.TensorMemory`."""
        return {
            "weights": [tensor for layer in self.layers for tensor in (layer.flat, layer.own)],
            "gradients": [layer.gradient for layer in self.layers],
            "Adam state": self._adam.means + self._adam.squares,
        }


def fully_sharded(layers: nn.Sequential) -> nn.Module:
    """Return the model sharded by torch's `fully_shard`, layer by layer as in stage 3: trained like any other model.

    It averages the gradients over the workers: where these have different numbers of examples, scale each one's mean loss
    by its share of them times the number of workers.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # It warns of what a linear layer returns, a view, in case somebody changes that in place: here nobody does.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(layers, mesh=mesh)
    return layers


def _check(number: int, module: nn.Module, seen: set[int]) -> None:
    """Raise ValueError for a layer that cannot be cut into shards; note its weights in `seen`."""
    what = f"layer {number}, {type(module).__name__},"
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        raise ValueError(f"{what} has BatchNorm, whose statistics would differ between workers: take LayerNorm")
    parameters = list(module.parameters())
    if not all(parameter.requires_grad for parameter in parameters):
        raise ValueError(
            f"{what} has frozen weights, but all weights of a shard are trained: call requires_grad_() on it"
        )
    if len(dtypes := {parameter.dtype for parameter in parameters}) > 1:
        raise ValueError(
            f"{what} has weights of {len(dtypes)} types, which do not fit in one vector: call .float() on it"
        )
    if shared := seen & {id(parameter) for parameter in parameters}:
        raise ValueError(f"{what} shares {len(shared)} of its weights with a layer before it: give each its own")
    seen |= {id(parameter) for parameter in parameters}
