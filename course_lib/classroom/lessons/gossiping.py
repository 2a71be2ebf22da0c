"""What lesson 16 reads off its stored study, and the picture of a graph and of how fast everybody on it comes to agree."""

from collections.abc import Mapping
from math import cos, inf, isfinite, pi, sin
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.classroom.plots.style import COLOURS, Picture
from course_lib.topology import Graph, mixing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from course_lib.learning import Finding

# Who trains without a server, beside those with one and those alone: how many parties see a client's model.
SEEN_BY = {
    "server": 1, "complete": 15, "random": 4, "push-sum": 4, "torus": 4, "ring, often": 2, "ring": 2, "alone": 0,
}  # fmt: skip
# From one silo to none: how many percent of all images lie together, and for how many clients an update stands that the cloud sees.
LAYOUTS = {
    "1 silo": (100, None), "2 silos": (50, 8), "4 silos": (25, 4), "8 silos": (12.5, 2), "4 edges": (6.25, 4), "server, often": (6.25, 1),
    "server": (6.25, 1),
}  # fmt: skip
_MIXTURES = ("2 silos", "4 silos", "8 silos", "4 edges")
_FLOOR = 1e-3  # what is left of a disagreement where the picture ends


class Stored:
    """The stored study of topologies: rows by part ("IID", "skewed") and name, each with the runs of several seeds."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.rows = {(row["part"], row["name"]): row for row in study["rows"]}

    def of(self, part: str, name: str, what: str = "nodes") -> list[float]:
        """Return a share, 0 to 1, for each seed: the accuracy of the `nodes`' own models, of the `worst`, or of the `mean` model."""
        return [run[what] / 100 for run in self.rows[part, name]["runs"]]

    def points(self, part: str, name: str, what: str = "nodes") -> list[float]:
        """Return the same in percent."""
        return [100 * value for value in self.of(part, name, what)]

    def rate(self, part: str, name: str) -> float:
        """Return the learning rate."""
        return float(self.rows[part, name]["rate"])

    def megabytes(self, part: str, name: str, what: str = "total") -> float:
        """Return MB of a run: in `total`, `across` the cloud's link, or into and out of the `busiest` party."""
        return float(self.rows[part, name]["runs"][0][what])

    def curve(self, part: str, name: str) -> dict[int, list[float]]:
        """Return the accuracy of the nodes' own models, 0 to 1, of each seed after each pass that is stored."""
        curves = [run["curve"] for run in self.rows[part, name]["runs"]]
        return {points[0][0]: [hits / 100 for _, hits, _ in points] for points in zip(*curves, strict=True)}

    def by_topology(self) -> dict[str, dict[Any, Any]]:
        """Return what a missing server costs, as `classroom.table` takes it: accuracy when clients are alike and skewed, bytes, and who sees models."""
        own = "own models (%)"
        rows: dict[str, dict[Any, Any]] = {}
        for name, parties in SEEN_BY.items():
            rows[name] = {(part, own): self.points(part, name) for part in ("IID", "skewed")}
            if name != "alone":
                rows[name] |= {
                    ("skewed", "mean model (%)"): self.points("skewed", name, "mean"),
                    ("MB sent", "by all"): self.megabytes("IID", name),
                    ("MB sent", "busiest party"): self.megabytes("IID", name, "busiest"),
                    ("a client's model", "is seen by"): parties,
                }
        return rows

    def by_layout(self) -> dict[str, dict[str, Any]]:
        """Return the walk from one silo to none, as `classroom.table` takes it."""
        gains = self.gains()
        return {
            name: {
                "data together (%)": float(together), "an update stands for": clients, "MB by the cloud": self.megabytes("skewed", name, "across"),
                "IID (%)": self.points("IID", name), "skewed (%)": self.points("skewed", name),
                "over FedAvg (points)": gains.get(f"{name}: better than FedAvg"),
            }
            for name, (together, clients) in LAYOUTS.items()
        }  # fmt: skip

    def leaderless(self) -> "dict[str, Finding]":
        """Return whether each graph's models are no worse than a server's."""
        from course_lib import learning

        return {
            f"{part}: {name}": learning.compare(self.of(part, name), self.of(part, "server"), "no worse")
            for part in ("IID", "skewed") for name in SEEN_BY if name not in ("server", "alone")
        }  # fmt: skip

    def gains(self) -> "dict[str, Finding]":
        """Return what silos and edges gain over federated averaging, and lose to one silo.

        One family: Holm's correction for all of them wherever one is quoted, so that a table and a verdict never say two things of one of them.
        """
        from course_lib import learning

        def over(part: str, name: str) -> "Finding":
            return learning.compare(self.of(part, name), self.of(part, "server"), "better", margin=learning.MARGIN)

        found = {f"{name}: better than FedAvg": over("skewed", name) for name in LAYOUTS if name != "server"}
        for name in _MIXTURES:
            found[f"{name}: no worse than one silo"] = learning.compare(
                self.of("skewed", name), self.of("skewed", "1 silo"), "no worse"
            )
        for name in ("4 silos", "4 edges"):
            found[f"{name}, lopsided: better than FedAvg"] = over("lopsided silos", name)
        return learning.holm(found)

    def mixtures(self) -> "dict[str, Finding]":
        """Return those of `gains` that are about mixtures of DML and FL."""
        return {name: found for name, found in self.gains().items() if name.startswith(_MIXTURES)}


def agreement(graph: Graph, rounds: int = 40) -> Picture:
    """Draw a graph, and what is left of a disagreement on it after each round of averaging with one's neighbours.

    Everybody begins with its own number as value. The axes stay put whatever the graph, so that an explorer stands still.
    """
    from matplotlib.figure import Figure

    mixed = mixing.metropolis(graph)
    left, values = mixing.second(mixed), np.arange(graph.nodes)[:, None]
    errors = mixing.disagreement(mixing.consensus(values, mixed, rounds))
    errors = np.maximum(errors / errors[0], 1e-12)
    made = Figure(figsize=(8.4, 3.9), dpi=100, layout="constrained")
    drawn, axes = made.subplots(1, 2, width_ratios=(1, 1.35))
    _draw(drawn, graph)
    at = np.arange(rounds + 1)
    axes.semilogy(at, errors, "-o", color=COLOURS[0], markevery=4, markersize=5, label="what is left")
    axes.semilogy(at, np.maximum(left**at, 1e-12), "--", color=COLOURS[1], label="the gap's promise")
    axes.set(xlim=(0, rounds), ylim=(_FLOOR, 1.5), xlabel="rounds of averaging", ylabel="disagreement left (share)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    gap = 1 - left
    needed = mixing.rounds_to(mixed)
    soon = f"{needed:.0f} rounds to a hundredth, at worst" if isfinite(needed) else "in parts: they never agree"
    axes.set_title(f"spectral gap {gap:.3f}: {soon}", fontsize=11)
    return Picture(made, _describe(graph, gap, needed, errors, rounds))


def _draw(axes: "Axes", graph: Graph) -> None:
    angles = [pi / 2 - 2 * pi * node / graph.nodes for node in range(graph.nodes)]
    places = [(cos(angle), sin(angle)) for angle in angles]
    for i, j in graph.links:
        (x, y), (u, v) = places[i], places[j]
        axes.plot([x, u], [y, v], color="0.55", linewidth=1.1, zorder=1)
    for node, (x, y) in enumerate(places):
        axes.plot([x], [y], "o", color=COLOURS[0], markersize=15, zorder=2)
        axes.text(x, y, str(node), ha="center", va="center", color="white", fontsize=8, zorder=3)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.set_title(graph.name, fontsize=11)
    axes.axis("off")


def _describe(graph: Graph, gap: float, needed: float, errors: np.ndarray, rounds: int) -> str:
    degrees = [len(graph.targets(node)) for node in range(graph.nodes)]
    low, high = min(degrees), max(degrees)
    each = str(low) if low == high else f"{low} to {high}"
    said = f"{graph.name}: {graph.nodes} nodes in a circle, {len(graph.links)} links, {each} neighbours each."
    if not isfinite(needed) or needed == inf:
        return f"{said} Spectral gap 0: the graph is in parts, which never agree. After {rounds} rounds {errors[-1]:.0%} of the disagreement is left."
    return (
        f"{said} Spectral gap {gap:.3f}: {needed:.0f} rounds to a hundredth of a disagreement, at worst. From these values, "
        f"{_share(errors[10])} of it is left after 10 rounds and {_share(errors[-1])} after {rounds}."
    )


def _share(value: float) -> str:
    return "less than 0.1%" if value < _FLOOR else f"{value:.1%}"
