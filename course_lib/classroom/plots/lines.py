"""One number against another: lines with intervals, and clouds of points."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from course_lib.classroom.estimates import Estimate, Measured
from course_lib.classroom.plots.charts import Bounds, measured
from course_lib.classroom.plots.style import Picture, figure, line, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 12  # points from which on an interval is a band, and the axis has round numbers rather than every point
_CLOSE = 1.15  # a ratio of two points on a logarithmic axis below which their labels would overlap


def lines(
    values: Mapping[str, Mapping[Any, Measured]], x: str, y: str, title: str = "", log: str = "", *,
    reference: tuple[str, float] | None = None, within: Bounds | None = None, xlimits: Bounds | None = None,
    limits: Bounds | None = None, percent: bool = False,
) -> Picture:  # fmt: skip
    """Draw a line for each label, with the 95% interval at each point where several seeds are given.

    `values`: label -> x -> a number, a number for each seed, or an Interval; x is a number or a name. `x`, `y`: what is
    measured, with its unit. `log`: "x", "y" or "xy" for logarithmic scales. `reference`: a label and a level of y to mark.
    `percent`: shares from 0 to 1 are shown in per cent. `within`: what y can be at all. `xlimits`, `limits`: of the axes, for them to stay put. Raises ValueError without points.
    """
    found = {name: {at: measured(given, within, percent) for at, given in own.items()} for name, own in values.items()}
    if not found or not all(found.values()):
        raise ValueError("every line needs at least one point")
    made, axes = figure(title, x, y)
    look = looks(found)
    for name, points in found.items():
        style, at = line(look[name]), list(points)
        means = [point.mean for point in points.values()]
        below = [point.mean - point.low for point in points.values()]
        above = [point.high - point.mean for point in points.values()]
        if len(points) > _MANY or not any(point.spreads for point in points.values()):
            axes.plot(at, means, label=name, markevery=max(1, len(points) // 8), markersize=5, **style)
            axes.fill_between(at, [m - b for m, b in zip(means, below, strict=True)],
                              [m + a for m, a in zip(means, above, strict=True)], color=style["color"], alpha=0.15, linewidth=0)  # fmt: skip
        else:
            axes.errorbar(at, means, [below, above], label=name, capsize=4, **style)
    _scale(axes, log, list(dict.fromkeys(at for points in found.values() for at in points)))
    if reference is not None:
        axes.axhline(reference[1], color="black", linewidth=1.2, linestyle=":", label=reference[0])
    if xlimits:
        axes.set_xlim(xlimits)
    if limits:
        axes.set_ylim(limits)
    if len(found) > 1 or reference is not None:
        axes.legend(frameon=False)
    return Picture(made, _describe(found, x, y, title, reference))


def scatter(
    points: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, title: str = "", line_at: float | None = None, *,
    xlimits: Bounds | None = None, limits: Bounds | None = None,
) -> Picture:  # fmt: skip
    """Draw a cloud of points (x, y) for each label. `line_at`: a level of y to mark and to count from, such as 0.

    Raises ValueError without points.
    """
    if not points or not all(len(own) for own in points.values()):
        raise ValueError("every cloud needs at least one point")
    made, axes = figure(title, x, y)
    look = looks(points)
    for name, own in points.items():
        style = line(look[name])
        axes.plot(
            [a for a, _ in own],
            [b for _, b in own],
            **style | {"linestyle": "none"},
            markersize=6,
            alpha=0.7,
            label=name,
        )
    if line_at is not None:
        axes.axhline(line_at, color="0.3", linewidth=1)
    if xlimits:
        axes.set_xlim(xlimits)
    if limits:
        axes.set_ylim(limits)
    if len(points) > 1:
        axes.legend(frameon=False)
    said = [f"{title}." if title else "", f"Points of {y} against {x}."]
    for name, own in points.items():
        ys = [b for _, b in own]
        below = f", {sum(b < line_at for b in ys)} below {line_at:g}" if line_at is not None else ""
        said.append(
            f"{name}: {len(own)} points from {min(ys):.3g} to {max(ys):.3g}, mean {sum(ys) / len(ys):.3g}{below}."
        )
    return Picture(made, " ".join(filter(None, said)))


def _scale(axes: "Axes", log: str, at: list[Any]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    plain = FuncFormatter(lambda value, _: _place(value))  # 1,000, where matplotlib writes a power of ten
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name not in log:
            continue
        axis.axes.set(**{f"{name}scale": "log"})
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_major_formatter(plain)
        low, high = axis.get_view_interval()
        axis.set_minor_formatter(plain if high < 50 * low else NullFormatter())
        apart = name == "x" and all(second >= _CLOSE * first for first, second in pairwise(sorted(at)))
        if apart and len(at) <= _MANY and max(at) < 10_000 * min(at):
            axis.set_ticks(at, labels=[_place(each) for each in at])
            axis.set_ticks([], minor=True)
    if "x" not in log and all(isinstance(each, int) for each in at):
        axes.locator_params(axis="x", integer=True)


def _describe(
    found: Mapping[str, Mapping[Any, Estimate]], x: str, y: str, title: str, reference: tuple[str, float] | None
) -> str:
    said = [f"{title}." if title else "", f"Lines of {y} against {x}."]
    for name, points in found.items():
        at = list(points)
        # All of a few points; of many, where the line starts and ends.
        shown = at if len(at) <= _MANY else [at[0], at[-1]]
        said.append(f"{name}: " + ", ".join(f"{points[each].words()} at {_place(each)}" for each in shown) + ".")
    if any(point.spreads for points in found.values() for point in points.values()):
        said.append("± is half a 95% interval.")
    if reference is not None:
        said.append(f"A line marks {reference[0]} at {reference[1]:.3g}.")
    return " ".join(filter(None, said))


def _place(at: Any) -> str:
    return at if isinstance(at, str) else f"{at:,.0f}" if abs(at) >= 1000 else f"{at:g}"
