"""What lesson 03 reads off its runs and its stored study, and the clock on which it draws who computes and who waits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.classroom.plots.style import COLOURS, HATCHES, Picture
from course_lib.rounds import Run

if TYPE_CHECKING:
    import pandas as pd

_LOOKS = {"computing": (COLOURS[0], HATCHES[0]), "waiting": (COLOURS[1], HATCHES[1])}


def clock(timelines: Mapping[str, "pd.DataFrame"], seconds: float, title: str = "") -> Picture:
    """Draw what each worker does, one panel a way of training, on one time axis that ends after so many seconds.

    `timelines`: for each way a table with the columns worker, activity (computing, waiting), start, end, such as
    `distributed.asynchronous.timelines.timeline` returns; what lies beyond the end is cut off.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    made = Figure(figsize=(7.6, 0.9 + 1.15 * len(timelines)), dpi=100, layout="constrained")
    panels = made.subplots(len(timelines), 1, sharex=True, squeeze=False)[:, 0]
    said = []
    for axes, (way, table) in zip(panels, timelines.items(), strict=True):
        cut = table[table["start"] < seconds].assign(end=lambda own: own["end"].clip(upper=seconds))
        workers = sorted(cut["worker"].unique())
        for row, worker in enumerate(workers):
            for activity, (colour, hatch) in _LOOKS.items():
                own = cut[(cut["worker"] == worker) & (cut["activity"] == activity)]
                bars = list(zip(own["start"], own["end"] - own["start"], strict=True))
                axes.broken_barh(
                    bars, (row - 0.38, 0.76), facecolors=colour, hatch=hatch, edgecolor="white", linewidth=0.6
                )
        axes.set_yticks(range(len(workers)), [str(worker) for worker in workers], fontsize=8)
        axes.set_ylabel("worker", fontsize=8)
        axes.invert_yaxis()
        axes.set_title(way, loc="left", fontsize=10)
        axes.grid(visible=False)
        said.append(f"{way}: {_waits(cut, workers, seconds)}")
    panels[-1].set_xlim(0, seconds)
    panels[-1].set_xlabel("seconds")
    made.suptitle(title, fontsize=11)
    patches = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name) for name, (colour, hatch) in _LOOKS.items()
    ]
    made.legend(handles=patches, loc="outside lower center", ncols=2, frameon=False)
    return Picture(made, f"{title}. Timelines of {seconds:g} seconds. {' '.join(said)}")


def _waits(table: "pd.DataFrame", workers: Sequence[int], seconds: float) -> str:
    waiting = table[table["activity"] == "waiting"]
    lost = (waiting["end"] - waiting["start"]).groupby(waiting["worker"]).sum()
    return ", ".join(f"worker {worker} waits {100 * lost.get(worker, 0.0) / seconds:.0f}%" for worker in workers) + "."


def spans(run: Run) -> list[list[tuple[str, float, float]]]:
    """Return a run's timeline, process by process: (activity, start, end) in seconds."""
    columns = ["activity", "start", "end"]
    return [list(own[columns].itertuples(index=False, name=None)) for _, own in run.timeline.groupby("worker")]


def idle(run: Run, processes: Sequence[int]) -> float:
    """Return the share of their time (0 to 1) in which these processes do not compute."""
    own = run.timeline[run.timeline["worker"].isin(processes)]
    busy = own[own["activity"] == "computing"]
    return float(1 - (busy["end"] - busy["start"]).sum() / (len(processes) * (own["end"].max() - own["start"].min())))


class Stored:
    """The stored study of a lesson: rows by part and name, each with the runs of several seeds."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.rows = {(row["part"], row["name"]): row for row in study["rows"]}

    def of(self, part: str, name: str) -> list[float]:
        """Return the test accuracy, a share, of each seed."""
        return [run["accuracy"] / 100 for run in self.rows[part, name]["runs"]]

    def rate(self, part: str, name: str) -> float:
        """Return the learning rate."""
        return float(self.rows[part, name]["rate"])

    def late(self, part: str, name: str, most: int = 24) -> dict[int, float]:
        """Return the share of all gradients (%) by how many versions late they were, up to `most`."""
        counts: Counter[int] = Counter()
        for run in self.rows[part, name]["runs"]:
            counts.update({versions: count for versions, count in run["staleness"]})
        return {versions: 100 * counts[versions] / counts.total() for versions in range(most + 1)}

    def clocked(self, part: str, name: str, end: float) -> dict[float, float]:
        """Return the mean accuracy (%) over seeds at fifteen moments up to `end` seconds; a run begins with one class in ten right."""
        moments, curves = np.linspace(end / 15, end, 15), []
        for run in self.rows[part, name]["runs"]:
            _, spent, hits = np.array(run["curve"]).T
            curves.append(np.interp(moments, np.r_[0, spent], np.r_[10, hits]))
        return dict(zip(moments.round(2).tolist(), np.mean(curves, axis=0).tolist(), strict=True))
