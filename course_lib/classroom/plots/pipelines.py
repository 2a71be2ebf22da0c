"""A pipeline's step on a clock: which stage worked on which microbatch, forwards and backwards, and where it was idle."""

from collections.abc import Sequence
from typing import NamedTuple

from course_lib.classroom.plots.style import COLOURS, Picture, figure

_LOOKS = {"forward": (COLOURS[0], "", "white"), "backward": (COLOURS[1], "//", "black")}


class Box(NamedTuple):
    """A stage's work on one microbatch, "forward" or "backward", from `start` to `end` in seconds."""

    way: str
    microbatch: int
    start: float
    end: float


def pipeline(stages: Sequence[Sequence[Box]], title: str = "") -> Picture:
    """Draw one row a stage; boxes carry the number of their microbatch, gaps are idle time.

    The axis is the share of the step's time, so that it stays put whatever the step took. Raises ValueError without a box.
    """
    boxes = [box for own in stages for box in own]
    if not boxes:
        raise ValueError("a pipeline's picture needs at least one box")
    began, ended = min(box.start for box in boxes), max(box.end for box in boxes)
    made, axes = figure(title, "share of the step's time (%)", size=(6.4, 1.4 + 0.5 * len(stages)))
    for row, own in enumerate(stages):
        for box in own:
            left, width = (100 * (at - began) / (ended - began) for at in (box.start, box.end - box.start + began))
            colour, hatch, ink = _LOOKS[box.way]
            axes.barh(row, width, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white")
            if width > 1.5 + 1.2 * len(str(box.microbatch + 1)):  # else the number would not fit in
                backed = {"facecolor": colour, "edgecolor": "none", "pad": 0.4}
                axes.text(left + width / 2, row, str(box.microbatch + 1), ha="center", va="center", fontsize=8, color=ink, bbox=backed)  # fmt: skip
    for way, (colour, hatch, _) in _LOOKS.items():
        axes.barh(0, 0, color=colour, hatch=hatch, edgecolor="white", label=way)
    axes.set_yticks(range(len(stages)), [f"stage {number}" for number in range(len(stages))])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 100)
    made.legend(loc="outside lower center", ncols=2, frameon=False)
    return Picture(made, _describe(stages, ended - began, title))


def _describe(stages: Sequence[Sequence[Box]], length: float, title: str) -> str:
    rows = []
    for number, own in enumerate(stages):
        spent = {way: 100 * sum(box.end - box.start for box in own if box.way == way) / length for way in _LOOKS}
        idle = 100 - sum(spent.values())
        rows.append(
            f"stage {number}: {', '.join(f'{share:.0f}% {way}' for way, share in spent.items())}, {idle:.0f}% idle"
        )
    said = f"Bars of each stage's work in one step, microbatch by microbatch. {'; '.join(rows)}."
    return f"{title}. {said}" if title else said
