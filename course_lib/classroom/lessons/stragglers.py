"""What lesson 03 reads off its runs and its stored study, and the clock on which it draws who computes and who waits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from course_lib.classroom.plots.style import COLOURS, HATCHES, Picture
from course_lib.rounds import Run

if TYPE_CHECKING:
    import pandas as pd

_LOOKS = {
    "computing": (COLOURS[0], HATCHES[0]),
    "waiting": (COLOURS[1], HATCHES[1]),
    "talking": (COLOURS[2], HATCHES[2]),
}


def clock(timelines: Mapping[str, "pd.DataFrame"], seconds: float, title: str = "") -> Picture:
    """Draw what each worker does, one panel a way of training, on one time axis that ends after so many seconds.

    `timelines`: for each way a table with the columns worker, activity (computing, waiting, talking), start, end, such as
    `distributed.asynchronous.timelines.timeline` returns; what lies beyond the end is not drawn. The words under the picture say how
    much of the whole table's time each worker waits: a piece that the end cuts through would make it look like less.
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
        said.append(f"{way}: {_waits(table)}")
    panels[-1].set_xlim(0, seconds)
    panels[-1].set_xlabel("seconds")
    made.suptitle(title, fontsize=11)
    done = {activity for table in timelines.values() for activity in table["activity"]}
    patches = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
        for name, (colour, hatch) in _LOOKS.items()
        if name in done
    ]
    made.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
    return Picture(made, f"{title}. Timelines of {seconds:.3g} seconds. {' '.join(said)}")


def _waits(table: "pd.DataFrame") -> str:
    """Say for each worker what share of the table's time it waits."""
    waiting = table[table["activity"] == "waiting"]
    lost = (waiting["end"] - waiting["start"]).groupby(waiting["worker"]).sum()
    length = table["end"].max() - table["start"].min()
    shares = {worker: 100 * lost.get(worker, 0.0) / length for worker in sorted(table["worker"].unique())}
    return ", ".join(f"worker {worker} waits {share:.0f}%" for worker, share in shares.items()) + "."


def of_workers(run: Run) -> "pd.DataFrame":
    """Return the timeline of a run in real processes without that of the server, which is process 0; workers count from 0."""
    own = run.timeline[run.timeline["worker"] > 0]
    return own.assign(worker=own["worker"] - 1)


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

    def on(self, term: str, name: str) -> list[float]:
        """Return the test accuracies on equal terms. Equal bytes are those of the ways that merge seldom, for all their gradients."""
        return self.of(term if (term, name) in self.rows else "updates", name)

    def megabytes(self, name: str) -> float:
        """Return what is sent for the full number of gradients."""
        return float(self.rows["updates", name]["runs"][0]["megabytes"])

    def late(self, part: str, name: str, most: int = 26, width: int = 3) -> dict[float, float]:
        """Return the share of all gradients (%) by how many versions late they were, up to `most`, so many versions together."""
        counts: Counter[int] = Counter()
        for run in self.rows[part, name]["runs"]:
            counts.update({versions: count for versions, count in run["staleness"]})
        return {
            low + (width - 1) / 2: 100 * sum(counts[versions] for versions in range(low, low + width)) / counts.total()
            for low in range(0, most + 1, width)
        }
