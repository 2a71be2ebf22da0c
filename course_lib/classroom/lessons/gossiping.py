"""What lesson 16 reads off its stored study, and the picture of a graph and of how fast everybody on it comes to agree."""

from collections.abc import Mapping
from math import cos, inf, isfinite, pi, sin
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.classroom.plots.style import COLOURS, Picture
from course_lib.topology import Graph, mixing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR = 1e-3  # what is left of a disagreement where the picture ends


class Stored:
    """The stored study of topologies: rows by part ("IID", "skewed") and name, each with the runs of several seeds."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.rows = {(row["part"], row["name"]): row for row in study["rows"]}

    def of(self, part: str, name: str, what: str = "nodes") -> list[float]:
        """Return a share, 0 to 1, for each seed: the accuracy of the `nodes`' own models, of the `worst`, or of the `mean` model."""
        return [run[what] / 100 for run in self.rows[part, name]["runs"]]

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
    axes.set_title(f"spectral gap {gap:.3f}", fontsize=11)
    return Picture(made, _describe(graph, gap, mixing.rounds_to(mixed), errors, rounds))


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
