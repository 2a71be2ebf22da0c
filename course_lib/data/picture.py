"""A partition as a picture: who holds how much of what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from course_lib.data.dataset import integer_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MANY = 24  # clients up to which single clients are named and counts are written into the squares


def picture(
    y: np.ndarray | Tensor | Sequence[int], clients: Sequence[np.ndarray], classes: Sequence[str] | None = None, *,
    room: int = 0,
) -> "tuple[Figure, str]":  # fmt: skip
    """Return a heat map of classes against clients, and in words what it shows.

    `room`: keep a column for so many clients, and the scale of colours the same for every partition of `y`, for the axes of
    an explorer to stay put. Raises ValueError for less room than there are clients.
    """
    from matplotlib.figure import Figure

    counts = _counts(y, clients, classes)
    labels = list(classes or map(str, range(counts.shape[1])))
    few = len(clients) <= _MANY
    if room and room < len(clients):
        raise ValueError(f"room={room} is too little for {len(clients)} clients")
    columns = room or len(clients)
    # No square is darker than one client with all examples of the most frequent class.
    most = np.bincount(integer_labels(y).numpy()).max() if room else counts.max()
    figure = Figure(figsize=(max(4.5, min(9.0, 1.6 + 0.55 * columns)), 1.2 + 0.28 * len(labels)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts.T, aspect="auto", cmap="Blues", vmin=0, vmax=most)
    figure.colorbar(image, ax=axes, label="examples")
    axes.set(xlabel="client", ylabel="class", title="Who holds how much of what")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_yticks(range(len(labels)), labels)
    if few:
        axes.set_xticks(range(columns))
        # White on dark squares, black on light ones.
        for (client, label), count in np.ndenumerate(counts):
            colour = "white" if count > 0.6 * most else "black"
            axes.text(client, label, str(count), ha="center", va="center", fontsize=7, color=colour)
    return figure, describe(y, clients, classes)


def describe(
    y: np.ndarray | Tensor | Sequence[int], clients: Sequence[np.ndarray], classes: Sequence[str] | None = None
) -> str:
    """Return in words how much each client holds and how alike the clients are."""
    counts = _counts(y, clients, classes)
    sizes, held = counts.sum(1), (counts > 0).sum(1)
    largest = counts.max(1) / np.maximum(sizes, 1)
    return (
        f"{len(clients)} clients hold {_range(sizes)} examples each, of {_range(held)} of the {counts.shape[1]} classes "
        f"({held.mean():.1f} on average). A client's most frequent class makes up "
        f"{100 * largest.mean():.0f}% of its examples on average."
    )


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _counts(
    y: np.ndarray | Tensor | Sequence[int], clients: Sequence[np.ndarray], classes: Sequence[str] | None
) -> np.ndarray:
    labels = integer_labels(y).numpy()
    width = len(classes) if classes else int(labels.max()) + 1
    return np.stack([np.bincount(labels[np.asarray(indices, dtype=int)], minlength=width) for indices in clients])
