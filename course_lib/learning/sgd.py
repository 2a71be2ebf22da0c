"""What one client or worker does alone: mini-batch SGD on a flat vector of weights."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_lib.data import Dataset
from course_lib.learning import keys
from course_lib.learning.tracing import Recording, record_gradient

# Recording a gradient takes as long as some dozen steps, so a shape must come up this often first.
_RECORD_AFTER = 20


class FlatModel:
    """A model whose weights are views of one vector `theta: (d,)`, so that moving all of them is one copy."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.theta = parameters_to_vector(self.parameters).detach().clone()
        vector_to_parameters(self.theta, self.parameters)
        self._views = [parameter.detach() for parameter in self.parameters]
        self._steps: Counter[torch.Size] = Counter()
        self._recorded: dict[torch.Size, Recording | None] = {}

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Return the gradient of the mean cross-entropy over the batch `x: (b, *shape)`, `y: (b,)`, one tensor a parameter.

        Where batches of a shape come again and again, it is recorded once and repeated, the same to the bit.
        """
        recorded = self._recorded.get(x.shape)
        if recorded is not None and not recorded.is_due():
            with torch.inference_mode():
                return recorded.repeat(x, y, *self._views)
        self._steps[x.shape] += 1
        if recorded is not None:
            gradient, proved = recorded.prove(self.module, self._views, x, y, self._by_autograd)
            self._recorded[x.shape] = recorded if proved else None
        elif self._steps[x.shape] == _RECORD_AFTER:
            gradient, repeat = record_gradient(self.module, self.parameters, x, y)
            self._recorded[x.shape] = Recording(repeat) if repeat else None
        else:
            gradient = self._by_autograd(x, y)
        return gradient

    def step(self, x: Tensor, y: Tensor, learning_rate: float) -> None:
        """Take one SGD step on the batch."""
        torch._foreach_add_(self._views, self.gradient(x, y), alpha=-learning_rate)

    def _by_autograd(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        loss = functional.cross_entropy(self.module(x), y)
        return torch.autograd.grad(loss, self.parameters, materialize_grads=True)


def steps_an_epoch(examples: int, batch_size: int | None) -> int:
    """Return how many batches one pass over `examples` takes; `batch_size=None` is the whole shard at once."""
    return 1 if batch_size is None else ceil(examples / batch_size)


def batches(
    x: Tensor, y: Tensor, batch_size: int | None, first_step: int, steps: int, key: tuple[int | str, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches `first_step` to `first_step + steps - 1` of an endless walk through the shard `x`, `y`.

    Each epoch goes through the shard once, in an order drawn from (key, epoch). A run that takes one step a round and
    one that takes an epoch a round therefore see the same batches.
    """
    if batch_size is None:
        for _ in range(steps):
            yield x.clone(), y  # a first layer that works in place must not change the data
        return
    per_epoch, step, last = steps_an_epoch(len(y), batch_size), first_step, first_step + steps
    while step < last:
        epoch, start = divmod(step, per_epoch)
        stop = min(per_epoch, start + last - step)
        order = _order(len(y), (*key, epoch))[start * batch_size : stop * batch_size]
        # One gather an epoch; the batches are then slices of it, which cost nothing.
        epoch_x, epoch_y = x.index_select(0, order), y.index_select(0, order)
        yield from zip(epoch_x.split(batch_size), epoch_y.split(batch_size), strict=True)
        step += stop - start


@lru_cache(maxsize=64)  # who takes one step a round would draw the order of a whole epoch for each
def _order(examples: int, key: tuple[int | str, ...]) -> Tensor:
    return torch.randperm(examples, generator=keys.generator(*key))


def epoch(
    shard: Dataset, batch_size: int | None, seed: int, participant: int, number: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one pass over a shard, in the order in which `rounds.fit` with that seed takes them."""
    steps = steps_an_epoch(len(shard), batch_size)
    return batches(shard.x, shard.y, batch_size, number * steps, steps, batch_key(seed, participant))


def batch_key(seed: int, participant: int) -> tuple[int | str, ...]:
    """Return the key of a participant's walk through its shard."""
    return (keys.seed(seed), "batches", participant)


def local_update(
    model: FlatModel, x: Tensor, y: Tensor, learning_rate: float, batch_size: int | None, first_step: int, steps: int,
    key: tuple[int | str, ...], correction: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Train `model` in place for `steps` steps and return what changed, `delta: (d,)`.

    `correction(theta)` returns what is added to the gradient `(d,)` at the weights `theta: (d,)` of every step.
    """
    before = model.theta.clone()
    for batch_x, batch_y in batches(x, y, batch_size, first_step, steps, key):
        extra = None if correction is None else correction(model.theta)
        model.step(batch_x, batch_y, learning_rate)
        if extra is not None:
            model.theta.add_(extra, alpha=-learning_rate)
    return model.theta - before


def batch_gradient(
    model: FlatModel, x: Tensor, y: Tensor, batch_size: int | None, step: int, key: tuple[int | str, ...]
) -> Tensor:
    """Return the flat gradient `(d,)` of batch number `step`; the weights stay as they are."""
    ((batch_x, batch_y),) = batches(x, y, batch_size, step, 1, key)
    return torch.cat([part.reshape(-1) for part in model.gradient(batch_x, batch_y)])
