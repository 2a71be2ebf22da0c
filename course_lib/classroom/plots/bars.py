"""Bars with 95% intervals, one by one or in groups, and bars that are made up of parts."""

from collections.abc import Mapping

from course_lib.classroom.plots.charts import Bounds, Grouped, chart, describe, finish, rows
from course_lib.classroom.plots.style import COLOURS, HATCHES, Picture, figure, looks


def bars(
    values: Grouped, y: str, title: str = "", reference: tuple[str, float] | None = None, log: bool = False, *,
    within: Bounds | None = None, limits: Bounds | None = None, percent: bool = False,
) -> Picture:  # fmt: skip
    """Draw a bar for each label, with the 95% interval where several seeds are given.

    `values`: name -> a number, a number for each seed, or an Interval; or group -> name -> that, and then a name has the same
    colour and hatch in every group. `y`: what is measured, with its unit. `reference`: a label and a level to compare with.
    `log`: a logarithmic scale. `percent`: shares from 0 to 1 are shown in per cent. `within`: what is possible at all, such as (0, 100). `limits`: of the axis, for it to stay put.
    Runs that broke (not finite) are counted beside their bar. Raises ValueError without bars.
    """
    drawn = rows(values, within, percent)
    made, axes, places = chart(drawn, y, title)
    look = looks(dict.fromkeys(name for _, name, _ in drawn))
    grouped = any(group for group, _, _ in drawn)
    for place, (_, name, found) in zip(places, drawn, strict=True):
        error = [[found.mean - found.low], [found.high - found.mean]] if found.spreads else None
        label = name if grouped and name not in axes.get_legend_handles_labels()[1] else None
        axes.barh(
            place, found.mean, xerr=error, height=0.8 if grouped else 0.65, capsize=4, color=COLOURS[look[name] % len(COLOURS)],
            hatch=HATCHES[look[name] % len(HATCHES)], edgecolor="white", ecolor="black", label=label,
        )  # fmt: skip
    finish(made, axes, places, drawn, reference, limits)
    if log:
        axes.set_xscale("log")
    return Picture(made, describe("Bars", values, y, title, reference, within, percent))


def stacked(
    values: Mapping[str, Mapping[str, float]], y: str, title: str = "", limits: Bounds | None = None
) -> Picture:
    """Draw a bar for each label that is made up of parts: label -> part -> how much of `y`. Raises ValueError without bars."""
    if not values:
        raise ValueError("a bar chart needs at least one bar")
    made, axes = figure(title, y, size=(6.4, 1.5 + 0.4 * len(values)))
    parts = list(dict.fromkeys(part for own in values.values() for part in own))
    look, left = looks(parts), dict.fromkeys(values, 0.0)
    for part in parts:
        sizes = [own.get(part, 0.0) for own in values.values()]
        axes.barh(
            list(values), sizes, left=list(left.values()), height=0.65, color=COLOURS[look[part] % len(COLOURS)],
            hatch=HATCHES[look[part] % len(HATCHES)], edgecolor="white", label=part,
        )  # fmt: skip
        left = {label: left[label] + size for label, size in zip(values, sizes, strict=True)}
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if limits:
        axes.set_xlim(limits)
    made.legend(loc="outside lower center", ncols=4, frameon=False)
    listed = "; ".join(
        f"{label}: {', '.join(f'{part} {size:.3g}' for part, size in own.items())}" for label, own in values.items()
    )
    return Picture(made, f"{f'{title}. ' if title else ''}Bars of {y}, by part. {listed}.")


def describe_bars(
    values: Grouped,
    y: str,
    title: str = "",
    reference: tuple[str, float] | None = None,
    within: Bounds | None = None,
    percent: bool = False,
) -> str:
    """Return in words what `bars` would show: every value with its interval, and the highest and the lowest."""
    return describe("Bars", values, y, title, reference, within, percent)
