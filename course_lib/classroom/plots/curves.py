"""Accuracy, or any column of a history, against rounds, bytes or seconds: mean and 95% interval over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias

from course_lib.classroom.estimates import Estimate, estimate
from course_lib.classroom.plots.charts import Bounds
from course_lib.classroom.plots.style import Picture, figure, line, looks

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.rounds.run import Run
    from course_lib.study import Study

# column: (what the axis says, scale)
_AXES = {
    "round": ("round", 1.0),
    "accuracy": ("test accuracy (%)", 100.0),
    "loss": ("test loss (nats)", 1.0),
    "bytes_up": ("sent up (MB)", 1e-6),
    "bytes_down": ("sent down (MB)", 1e-6),
    "bytes_moved": ("raw data moved (MB)", 1e-6),
    "bytes": ("all bytes sent (MB)", 1e-6),
    "seconds": ("seconds", 1.0),
    "simulated_seconds": ("simulated seconds", 1.0),
}
_BYTES = ("bytes_up", "bytes_down", "bytes_moved")

Runs: TypeAlias = "Sequence[Run] | Mapping[str, Run | Sequence[Run]] | Study"


@dataclass(frozen=True)
class Curve:
    """One line: its points in axis units, what was measured at each, and its seeds, of which some may have broken."""

    label: str
    x: list[float]
    y: list[Estimate]
    seeds: int
    broke: int


def curves(
    runs: Runs, x: str = "round", y: str = "accuracy", title: str = "", target: float | None = None, log: bool = False, *,
    xlimits: Bounds | None = None, limits: Bounds | None = None,
) -> Picture:  # fmt: skip
    """Draw one line for each label: the mean over its runs with the 95% interval around it.

    `runs`: label -> run or runs (one a seed); a plain list is labelled by the plans' names; or a study. `x`, `y`: round,
    accuracy, loss, seconds, simulated_seconds, bytes_up, bytes_down, bytes_moved, or bytes (all three). Where seeds differ in
    x (seconds, bytes), the mean x of each evaluation is used. `target`: a level of y to mark, in axis units. `log`: a
    logarithmic scale for x. `xlimits`, `limits`: of the axes, for those of an explorer to stay put. Runs that broke (not
    finite) are counted, not averaged. Raises ValueError for an unknown column.
    """
    drawn = _curves(runs, x, y)
    made, axes = figure(title, _AXES[x][0], _AXES[y][0])
    index = looks(curve.label for curve in drawn)
    for curve in drawn:
        look, means = line(index[curve.label]), [point.mean for point in curve.y]
        label = f"{curve.label} ({curve.broke} of {curve.seeds} broke)" if curve.broke else curve.label
        axes.plot(curve.x, means, label=label, markevery=max(1, len(curve.x) // 8), markersize=5, **look)
        low, high = [point.low for point in curve.y], [point.high for point in curve.y]
        axes.fill_between(curve.x, low, high, color=look["color"], alpha=0.2, linewidth=0)
    if y == "accuracy":
        lowest, highest = axes.get_ylim()
        axes.set_ylim(max(0, lowest), min(100, highest))
    if xlimits:
        axes.set_xlim(xlimits)
    if limits:
        axes.set_ylim(limits)
    if log:
        axes.set_xscale("log")
    elif x == "round":
        axes.locator_params(axis="x", integer=True)
    if target is not None:
        axes.axhline(target, color="0.3", linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(f"{target:g}", (1, target), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    if len(drawn) > 1:
        axes.legend(frameon=False)
    return Picture(made, _describe(drawn, x, y, title, target))


def describe_curves(runs: Runs, x: str = "round", y: str = "accuracy", title: str = "") -> str:
    """Return in words what `curves` would show: where each line starts and ends, and which ends highest."""
    return _describe(_curves(runs, x, y), x, y, title, None)


def _curves(runs: Runs, x: str, y: str) -> list[Curve]:
    for column in (x, y):
        if column not in _AXES:
            raise ValueError(f"{column!r} is no column of a history; choose from: {', '.join(_AXES)}")
    labelled = _histories(runs)
    if not labelled or not all(labelled.values()):
        counts = {label: len(some) for label, some in labelled.items()}
        raise ValueError(f"every label needs at least one run, got {counts}")
    return [_curve(label, some, x, y) for label, some in labelled.items()]


def _histories(runs: Runs) -> "dict[str, list[pd.DataFrame]]":
    from course_lib.study import Study

    if isinstance(runs, Study):
        by_plan = runs.curves.groupby("plan", sort=False)
        return {str(plan): [history for _, history in some.groupby("seed")] for plan, some in by_plan}
    if not isinstance(runs, Mapping):
        grouped: dict[str, list[Run]] = {}
        for run in runs:
            grouped.setdefault(run.plan.name, []).append(run)
        runs = grouped
    return {
        label: [run.history for run in (some if isinstance(some, Sequence) else [some])] for label, some in runs.items()
    }


def _curve(label: str, histories: "list[pd.DataFrame]", x: str, y: str) -> Curve:
    xs, ys = [_column(history, x) for history in histories], [_column(history, y) for history in histories]
    # A run that stopped early has fewer evaluations: the mean ends where the shortest run does.
    points = min(map(len, xs))
    within = (0.0, 100.0) if y == "accuracy" else None
    return Curve(
        label,
        [sum(values[point] for values in xs) / len(xs) for point in range(points)],
        [estimate([values[point] for values in ys], within) for point in range(points)],
        len(histories),
        sum(not all(map(isfinite, values[:points])) for values in ys),
    )


def _column(history: "pd.DataFrame", name: str) -> list[float]:
    columns = _BYTES if name == "bytes" else (name,)
    return [float(value) * _AXES[name][1] for value in history[list(columns)].sum(axis=1, skipna=False)]


def _describe(drawn: list[Curve], x: str, y: str, title: str, target: float | None) -> str:
    seeds = {curve.seeds for curve in drawn}
    many = f", mean of {max(seeds)} seeds with 95% intervals" if max(seeds) > 1 else ""
    text = [f"{title}." if title else "", f"Lines of {_AXES[y][0]} against {_AXES[x][0]}{many}."]
    for curve in drawn:
        means, last = [point.mean for point in curve.y], curve.y[-1]
        margin = f" ± {(last.high - last.low) / 2:.2g}" if last.spreads else ""
        broke = f" {curve.broke} of {curve.seeds} broke." if curve.broke else ""
        text.append(
            f"{curve.label}: from {means[0]:.3g} at {curve.x[0]:.3g} to {means[-1]:.3g}{margin} at {curve.x[-1]:.3g}.{broke}"
        )
        if target is not None:
            first = next((at for at, value in zip(curve.x, means, strict=True) if value >= target), None)
            text.append(f"It does not reach {target:g}." if first is None else f"It reaches {target:g} at {first:.3g}.")
    ended = [curve for curve in drawn if isfinite(curve.y[-1].mean)]
    if len(ended) > 1:
        text.append(f"Highest at its end: {max(ended, key=lambda curve: curve.y[-1].mean).label}.")
    return " ".join(part for part in text if part)
