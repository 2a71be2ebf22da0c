"""Bars with 95% intervals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from course_lib.classroom.plots.style import COLOURS, HATCHES, Picture, figure

if TYPE_CHECKING:
    from course_lib.learning import Interval

# One number, one number a seed, or an interval already computed.
Values: TypeAlias = "Mapping[str, float | Sequence[float] | Interval]"


def bars(
    values: Values, y: str, title: str = "", reference: tuple[str, float] | None = None, log: bool = False
) -> Picture:
    """Draw a bar for each label, with the 95% interval where several seeds are given.

    `values`: label -> a number, a number for each seed, or an Interval. `y`: what is measured, with its unit.
    `reference`: a label and a level to compare with. `log`: a logarithmic scale. Raises ValueError without bars.
    """
    rows = _rows(values)
    made, axes = figure(title, y, "", size=(6.4, 0.9 + 0.45 * len(rows)))
    for position, (_, mean, half) in enumerate(rows):
        axes.barh(
            position, mean, xerr=half or None, height=0.65, capsize=4, color=COLOURS[position % len(COLOURS)],
            hatch=HATCHES[position % len(HATCHES)], edgecolor="white", ecolor="black",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if log:
        axes.set_xscale("log")
    if reference is not None:
        axes.axvline(reference[1], color="black", linewidth=1.2, linestyle="--", label=reference[0])
        axes.legend(frameon=False)
    return Picture(made, describe_bars(values, y, title, reference))


def describe_bars(values: Values, y: str, title: str = "", reference: tuple[str, float] | None = None) -> str:
    """Return in words what `bars` would show: every value with its interval, and the highest and the lowest."""
    rows = _rows(values)
    listed = "; ".join(f"{label} {mean:.3g}" + (f" ± {half:.2g}" if half else "") for label, mean, half in rows)
    parts = [f"{title}." if title else "", f"Bars of {y}: {listed}."]
    if any(half for _, _, half in rows):
        parts.append("± is half a 95% interval.")
    if len(rows) > 1:
        ordered = sorted(rows, key=lambda row: row[1])
        parts.append(f"Highest: {ordered[-1][0]}. Lowest: {ordered[0][0]}.")
    if reference is not None:
        parts.append(f"A line marks {reference[0]} at {reference[1]:.3g}.")
    return " ".join(part for part in parts if part)


def _rows(values: Values) -> list[tuple[str, float, float]]:
    if not values:
        raise ValueError("a bar chart needs at least one bar")
    return [(label, *_mean_and_half(given)) for label, given in values.items()]


def _mean_and_half(given: "float | Sequence[float] | Interval") -> tuple[float, float]:
    if isinstance(given, int | float):
        return float(given), 0.0
    if isinstance(given, Sequence):
        if len(given) == 1:
            return float(given[0]), 0.0
        from course_lib.learning import interval

        given = interval(given)
    return given.mean, given.half_width
