"""What distributed learning does before the first step: move everybody's raw data to one owner, shuffle it, deal it out.

Data travels as it is stored, not as it is computed with: a pixel from 0 to 255, or a label, in one byte.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from course_lib.data import Dataset
from course_lib.learning import keys
from course_lib.rounds.exchange import SERVER, Wire, finish


def pool(wire: Wire, held: dict[int, Dataset]) -> dict[int, Dataset]:
    """Send every owner's raw data to the server; return all of it there, by owner, and nothing elsewhere."""
    pending = []
    for owner, shard in sorted(held.items()):
        for part in (packed(shard.x), packed(shard.y)):
            pending.append(wire.post(part, 0, "data", wire.owner(owner), SERVER))
    pooled = {}
    if wire.rank == 0:
        like = next(iter(held.values()))
        for owner, host in enumerate(wire.hosts):
            pooled[owner] = held[owner] if host == 0 else _receive(wire, host, like)
    finish(pending)
    return pooled


def deal(wire: Wire, pooled: dict[int, Dataset], sizes: Sequence[int], seed: int, like: Dataset) -> dict[int, Dataset]:
    """Shuffle what the server pooled and deal `sizes[k]` examples to worker k; return the hosted workers' shards.

    `like` is any shard of the same data set: it lends its name and classes to what arrives.
    """
    pending, dealt = [], {}
    if wire.rank == 0:
        everything = concatenated(pooled)
        order = torch.randperm(len(everything), generator=keys.generator(seed, "deal"))
        for worker, indices in enumerate(order.split(list(sizes))):
            dealt[worker] = everything.subset(indices)
            for part in (packed(dealt[worker].x), packed(dealt[worker].y)):
                pending.append(wire.post(part, wire.hosts[worker], "data", SERVER, wire.name(worker)))
    else:
        dealt = {worker: _receive(wire, 0, like) for worker in wire.hosted()}
    finish(pending)
    return {worker: shard for worker, shard in dealt.items() if wire.hosts[worker] == wire.rank}


def concatenated(shards: dict[int, Dataset]) -> Dataset:
    """Return all shards as one data set, in the order of the dict."""
    parts = list(shards.values())
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    return replace(parts[0], x=x, y=y)


def packed(values: Tensor) -> Tensor:
    """Return labels up to 255, and pixels that `data.load` made of the whole numbers from 0 to 255, in one byte each.

    Everything else is returned as it is: nothing is lost by packing, so training cannot tell.
    """
    stored = (values if values.dtype == torch.int64 else (255 * values).round()).clamp(0, 255).to(torch.uint8)
    return stored if torch.equal(unpacked(stored, values.dtype), values) else values


def unpacked(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what was packed as it was: labels as int64, pixels as float32 from 0 to 1."""
    if values.dtype != torch.uint8:
        return values
    return values.long() if dtype == torch.int64 else values.float() / 255


def _receive(wire: Wire, host: int, like: Dataset) -> Dataset:
    x, y = wire.take(host, "data"), wire.take(host, "data")
    return replace(like, x=unpacked(x, like.x.dtype), y=unpacked(y, like.y.dtype))
