"""One step of a ring all-reduce: which chunk goes from whom to whom, and how complete each chunk is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from course_lib.classroom.plots.arrows import Box, circle, draw_arrow
from course_lib.classroom.plots.style import COLOURS, Picture, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARE = 0.27


def ring(parts: Sequence[Sequence[int]], sends: Sequence[tuple[int, int, int]] = (), title: str = "") -> Picture:
    """Draw workers in a circle, what each holds, and an arrow for each chunk on its way.

    `parts[worker][chunk]`: how many workers' numbers that chunk holds, 1 at first and all of them when it is complete.
    `sends`: (sender, receiver, chunk) of the step that is drawn. The drawing keeps its size, so that an explorer stands still.
    Raises ValueError for workers with different numbers of chunks.
    """
    if not parts or len({len(own) for own in parts}) != 1:
        raise ValueError(f"every worker holds the same number of chunks, got {[len(own) for own in parts]}")
    workers = len(parts)
    made, axes = figure(title, size=(6.4, 5.0))
    places, height = circle([str(worker) for worker in range(workers)], 6.4, radius=1.75)
    axes.set(xlim=(0, 6.4), ylim=(-0.25, height + 0.25), aspect="equal")
    axes.axis("off")
    boxes = list(places.values())
    for box, own, worker in zip(boxes, parts, range(workers), strict=True):
        _strip(axes, box, own, f"worker {worker}", whole=workers, below=box.y < height / 2 - 0.1)
    for sender, receiver, chunk in sends:
        start, end = boxes[sender], boxes[receiver]
        draw_arrow(axes, (start.x, start.y), (end.x, end.y), COLOURS[chunk % len(COLOURS)], 2.2, f"chunk {chunk}",
                   bend=0.25 if workers == 2 else 0.0, room=30)  # fmt: skip
    return Picture(made, _describe(parts, sends, title))


def _strip(axes: "Axes", box: Box, own: Sequence[int], name: str, *, whole: int, below: bool) -> None:
    from matplotlib.patches import Rectangle

    left = box.x - _SQUARE * len(own) / 2
    for chunk, count in enumerate(own):
        # White for a worker's own numbers only, dark where the sum is complete.
        done = count >= whole
        shade = (
            "#00507F" if done else ("white", "#D6E6F2", "#B4D0E7", "#93BADB", "#93BADB", "#93BADB")[min(count - 1, 5)]
        )
        corner = left + _SQUARE * chunk, box.y - _SQUARE / 2
        axes.add_patch(Rectangle(corner, _SQUARE, _SQUARE, facecolor=shade, edgecolor="0.25", zorder=3))
        axes.text(corner[0] + _SQUARE / 2, box.y, str(count), ha="center", va="center", zorder=4, fontsize=9,
                  color="white" if done else "black", weight="bold" if done else "normal")  # fmt: skip
    side = -0.32 if below else 0.32
    axes.text(box.x, box.y + side, name, ha="center", va="center", fontsize=9, zorder=4)


def _describe(parts: Sequence[Sequence[int]], sends: Sequence[tuple[int, int, int]], title: str) -> str:
    workers = len(parts)
    complete = sum(count >= workers for own in parts for count in own)
    moves = ", ".join(f"chunk {chunk} from worker {sender} to {receiver}" for sender, receiver, chunk in sends)
    words = [
        f"{title}." if title else "",
        f"{workers} workers in a circle. On the way: {moves}." if sends else f"{workers} workers in a circle; nothing is sent.",
        f"{complete} of {sum(map(len, parts))} chunks hold the numbers of all {workers} workers.",
    ]  # fmt: skip
    return " ".join(filter(None, words))
