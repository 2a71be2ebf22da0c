"""Data parallelism by hand: gradients leave in buckets while the backward pass still computes others.

What `torch.nn.parallel.DistributedDataParallel` does in C++ (Li et al. 2020, arXiv 2006.15704, section 3.2), short enough to read
aloud. Unlike there, workers may hold different numbers of examples: each counts by how many it has.
"""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Bucket:
    """Gradients that travel together: of parameters whose gradients come one after the other."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.missing = set(parameters)
        self.total = torch.zeros(0)
        self.work: dist.Work | None = None

    def start(self, examples: int) -> None:
        """Begin to add up everybody's gradients, each counted by its examples, and everybody's examples behind them."""
        gradients = [parameter.grad.reshape(-1) for parameter in self.parameters.values() if parameter.grad is not None]
        self.total = torch.cat([*gradients, torch.ones(1)]) * examples
        self.work = dist.all_reduce(self.total, async_op=True)

    def finish(self) -> None:
        """Wait for the sum, and put the mean in the place of each gradient."""
        assert self.work is not None
        self.work.wait()
        means = (self.total[:-1] / self.total[-1]).split([parameter.numel() for parameter in self.parameters.values()])
        for parameter, mean in zip(self.parameters.values(), means, strict=True):
            parameter.grad = mean.view_as(parameter)


class DataParallel:
    """A module whose gradients are, after `backward` and `finish`, those of the global batch, on every worker.

    The weights and buffers of rank 0 go to everybody first. Call it with this worker's part of the batch, `x: (b, ...)`, and let
    the loss be a mean over it; b may differ from worker to worker. A bucket holds about `bucket_bytes` of gradients.
    """

    def __init__(self, module: nn.Module, bucket_bytes: int = 1 << 20) -> None:
        self.module = module
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)
        self.buckets = [Bucket({name: trained[name] for name in names}) for names in in_buckets(trained, bucket_bytes)]
        self._examples, self._started, self._expecting = 0, 0, False
        for bucket in self.buckets:
            for name, parameter in bucket.parameters.items():
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, bucket, name))

    def __call__(self, x: Tensor, *more: Any) -> Any:
        """Return what the module makes of this worker's part of the batch. Raises ValueError for an empty part."""
        if not len(x):
            raise ValueError(
                "this worker's part of the batch is empty: its loss is a mean over nothing; deal it at least one example"
            )
        self._examples, self._started, self._expecting = len(x), 0, True
        for bucket in self.buckets:
            bucket.missing = set(bucket.parameters)
            for parameter in bucket.parameters.values():
                parameter.grad = None
        return self.module(x, *more)

    def _arrived(self, bucket: Bucket, name: str, _: Tensor) -> None:
        """Note that a parameter's gradient is here; send what is complete, in the same order on every worker."""
        if not self._expecting:  # somebody else uses the module
            return
        if name not in bucket.missing:
            raise RuntimeError(
                f"a second gradient of {name} came before finish(): call the model once for each backward()"
            )
        bucket.missing.discard(name)
        while self._started < len(self.buckets) and not self.buckets[self._started].missing:
            self.buckets[self._started].start(self._examples)
            self._started += 1

    def finish(self) -> None:
        """Wait for the gradients of everybody. Raises RuntimeError, with the names, where a parameter took no part in the loss."""
        self._expecting = False
        unused = sorted(name for bucket in self.buckets for name in bucket.missing)
        if unused:
            raise RuntimeError(
                f"no gradient came for {', '.join(unused)}, so the bucket would wait for ever: freeze with requires_grad_(False) "
                "what the loss does not depend on"
            )
        for bucket in self.buckets:
            bucket.finish()


def in_buckets(parameters: dict[str, nn.Parameter], bucket_bytes: int) -> list[list[str]]:
    """Return the names of a module's parameters in buckets, from the last layer to the first, as their gradients come.

    A bucket is full once it holds `bucket_bytes`. Raises ValueError for a size that is not positive.
    """
    if bucket_bytes < 1:
        raise ValueError(f"bucket_bytes={bucket_bytes} must be at least 1: then each parameter has a bucket of its own")
    buckets: list[list[str]] = []
    room = 0
    for name, parameter in reversed(parameters.items()):
        if room <= 0:
            buckets.append([])
            room = bucket_bytes
        buckets[-1].append(name)
        room -= parameter.nbytes
    return buckets
