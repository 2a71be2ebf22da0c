"""The two halves of the ring all-reduce, each on its own: what sharded training is made of."""

from torch import Tensor

from course_lib.cluster.traffic import Channel
from course_lib.settings import whole


def reduce_scatter(channel: Channel, flat: Tensor, kind: str) -> Tensor:
    """Add up `flat: (n,)` over all ranks and return this rank's part of the sum, `(n / ranks,)`, a view of `flat`.

    What else is in `flat` is then of no use. Each rank sends (W - 1) / W of the size of `flat`. Raises ValueError for a size that
    the ranks do not divide: see `padded`.
    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    parts, rank, world = _parts(channel, flat)
    for step in range(1, world):
        sending = channel.isend(parts[(rank - step) % world], (rank + 1) % world, kind=kind)
        parts[(rank - step - 1) % world] += channel.recv((rank - 1) % world, kind=kind)
        sending.wait()
    return parts[rank]


def all_gather(channel: Channel, flat: Tensor, kind: str) -> None:
    """Fill `flat: (n,)` on every rank, where each holds its own part of it already; errors and bytes as in `reduce_scatter`."""
    parts, rank, world = _parts(channel, flat)
    for step in range(world - 1):
        sending = channel.isend(parts[(rank - step) % world], (rank + 1) % world, kind=kind)
        parts[(rank - step - 1) % world].copy_(channel.recv((rank - 1) % world, kind=kind))
        sending.wait()


def padded(size: int, ranks: int) -> int:
    """Return the next size up that so many ranks divide. Raises ValueError for a negative size or no rank."""
    size, ranks = whole(size, "size", 0), whole(ranks, "ranks", 1)
    return -(-size // ranks) * ranks


def _parts(channel: Channel, flat: Tensor) -> tuple[list[Tensor], int, int]:
    if flat.dim() != 1 or len(flat) % channel.world or not flat.is_contiguous():
        raise ValueError(
            f"a tensor of shape {tuple(flat.shape)} cannot be dealt to {channel.world} ranks: pass a contiguous vector "
            f"padded to a multiple of {channel.world}"
        )
    return list(flat.tensor_split(channel.world)), channel.rank, channel.world
