"""Collectives built from send and receive, to be read aloud; torch.distributed has the fast ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.cluster.lanes import InLane, OutLane, part_length
from course_lib.cluster.traffic import Channel


def ring_all_reduce(channel: Channel, tensor: Tensor, kind: str = "all-reduce") -> None:
    """Replace `tensor`, on every rank, by its sum over all ranks.

    Each rank sends 2 (n - 1) / n times the tensor's size, however many ranks n there are. Raises ValueError for whole numbers
    whose sum could leave their type, and wrap round.
    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    n, rank = channel.world, channel.rank
    right, left = (rank + 1) % n, (rank - 1) % n
    if not tensor.is_contiguous():
        raise ValueError("ring_all_reduce changes the tensor in place, in slices: pass a contiguous one")
    _check_room(tensor, n)
    chunks = tensor.view(-1).tensor_split(n)
    steps = 2 * (n - 1)

    def to_right(step: int) -> OutLane:
        return channel.lane_to(right, chunks[(rank - step) % n], kind=kind, number=step % 2)

    def from_left(step: int) -> InLane:
        return channel.lane_from(left, chunks[(rank - step - 1) % n], kind=kind, number=step % 2)

    if steps:
        to_right(0).send(chunks[rank])
        from_left(0).ready()
    for step in range(steps):
        taken, last = chunks[(rank - step - 1) % n], step == steps - 1
        if not last:
            to_right(step + 1)  # opened, or the left one would wait for it in vain
            from_left(step + 1).ready()
        parts = taken.split(part_length(taken))
        for number, arrived in from_left(step).parts():
            part = parts[number]
            # Once round the ring, adding: chunk `rank + 1` ends up complete here. Once more, copying what is complete.
            if step < n - 1:
                part += arrived
            else:
                part.copy_(arrived)
            if not last:  # what has come of a chunk goes on at once
                to_right(step + 1).send_part(taken, number)
    for step in range(steps)[-2:]:
        to_right(step).wait()


def _check_room(tensor: Tensor, ranks: int) -> None:
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return
    if tensor.dtype == torch.bool:
        raise ValueError("ring_all_reduce adds numbers, not torch.bool: convert the tensor, for example with .long()")
    most = torch.iinfo(tensor.dtype).max // ranks
    if tensor.numel() and not (-most <= int(tensor.min()) and int(tensor.max()) <= most):
        raise ValueError(
            f"ring_all_reduce: {ranks} such tensors may add up to more than {tensor.dtype} holds: convert it with .long() or .double()"
        )


def broadcast(channel: Channel, tensor: Tensor, root: int = 0, kind: str = "broadcast") -> None:
    """Replace `tensor`, on every rank, by the root's."""
    if channel.rank == root:
        handles = [channel.isend(tensor, to, kind=kind) for to in range(channel.world) if to != root]
        for handle in handles:
            handle.wait()
    else:
        tensor.copy_(channel.recv(root, kind=kind))


def gather(channel: Channel, tensor: Tensor, root: int = 0, kind: str = "gather") -> list[Tensor] | None:
    """Return every rank's tensor, in rank order, on the root; None elsewhere."""
    if channel.rank != root:
        channel.send(tensor, root, kind=kind)
        return None
    return [tensor if source == root else channel.recv(source, kind=kind) for source in range(channel.world)]


def sum_in_order(
    channel: Channel, rows: Sequence[Tensor], weights: Sequence[float], kind: str = "all-reduce"
) -> Tensor:  # fmt: skip
    """Return, on every rank, the weighted sum of all ranks' rows, added in rank order and in double precision.

    `rows`: this rank's tensors, all of one shape; `weights`: one number each. Floating-point addition depends on its
    order: a fixed order gives every rank the same bits in every run. Raises TypeError for whole numbers: a weighted sum of them is
    none, and would be cut off.
    """
    if not rows or len(rows) != len(weights):
        raise ValueError(f"{len(rows)} rows and {len(weights)} weights: pass at least one row, and a weight for each")
    if not all(row.dtype.is_floating_point for row in rows):
        raise TypeError(f"sum_in_order adds floating-point rows, not {rows[0].dtype}: convert them with .double()")
    partial = torch.zeros_like(rows[0], dtype=torch.float64)
    for row, weight in zip(rows, weights, strict=True):
        partial.add_(row, alpha=weight)
    collected = gather(channel, partial, kind=kind)
    if collected is not None:
        for other in collected[1:]:  # the first is the root's own partial sum
            partial += other
    broadcast(channel, partial, kind=kind)
    return partial.to(rows[0].dtype)
