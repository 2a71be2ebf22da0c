"""What charts with one row for each thing measured have in common: rows in groups, labels, and what they say in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from course_lib.classroom.estimates import MARKS, Estimate, Measured, estimate, explained
from course_lib.classroom.plots.style import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from course_lib.learning import Finding

Values: TypeAlias = Mapping[str, Measured]
# Group -> name -> what was measured, or without groups name -> what was measured.
Grouped: TypeAlias = Mapping[str, Values] | Values
Bounds: TypeAlias = tuple[float, float]
# One row: its group, its name, and what is drawn.
Row: TypeAlias = tuple[str, str, Estimate]


def describe(
    kind: str,
    values: Grouped,
    y: str,
    title: str,
    reference: tuple[str, float] | None,
    within: Bounds | None,
    percent: bool,
) -> str:
    """Return in words what a chart shows: every value with its interval, and the highest and the lowest."""
    drawn, findings = rows(values, within, percent), judged(values)
    parts = [f"{title}." if title else "", f"{kind} of {y}: {_listed(drawn)}."]
    if findings:
        parts.append(explained(findings))
    elif any(found.spreads for _, _, found in drawn):
        parts.append("± is half a 95% interval.")
    whole = [row for row in drawn if row[2].broke < row[2].seeds]
    if len(whole) > 1:
        ordered = sorted(whole, key=lambda row: row[2].mean)
        parts.append(f"Highest: {_full(ordered[-1])}. Lowest: {_full(ordered[0])}.")
    if reference is not None:
        parts.append(f"A line marks {reference[0]} at {reference[1]:.3g}.")
    return " ".join(part for part in parts if part)


def rows(values: Grouped, within: Bounds | None, percent: bool) -> list[Row]:
    """Return the rows of a chart, group by group. Raises ValueError where there are none."""
    drawn: list[Row] = []
    for label, given in values.items():
        # By seed, the keys are numbers.
        if isinstance(given, Mapping) and any(isinstance(name, str) for name in given):
            drawn += [(label, str(name), measured(own, within, percent)) for name, own in given.items()]
        else:
            drawn.append(("", label, measured(given, within, percent)))  # type: ignore[arg-type]
    if not drawn:
        raise ValueError("a bar chart needs at least one bar")
    return drawn


def measured(given: Measured, within: Bounds | None, percent: bool) -> Estimate:
    """Return an estimate; `percent`: of shares from 0 to 1, in per cent. Findings know their own unit."""
    if not percent:
        return estimate(given, within)
    found = estimate(given, within and (within[0] / 100, within[1] / 100))
    return found if found.outcome else found.times(100)


def judged(values: Grouped) -> "list[Finding]":
    """Return the findings among what is drawn."""
    from course_lib.learning import Finding

    flat = [own for given in values.values() for own in (given.values() if isinstance(given, Mapping) else [given])]
    return [own for own in flat if isinstance(own, Finding)]


def chart(drawn: list[Row], x: str, title: str) -> "tuple[Figure, Axes, list[float]]":
    """Return an empty chart, and the height at which each row stands: the rows of a group close together."""
    places, place, last = [], -1.0, None
    for group, _, _ in drawn:
        place += 1.0 if last in (None, group) else 1.6
        places.append(place)
        last = group
    grouped = any(group for group, _, _ in drawn)
    made, axes = figure(title, x, "", size=(6.4, (1.3 + 0.24 * (place + 1)) if grouped else 0.9 + 0.45 * len(drawn)))
    return made, axes, places


def finish(
    made: "Figure", axes: "Axes", places: list[float], drawn: list[Row], reference: tuple[str, float] | None, limits: Bounds | None
) -> None:  # fmt: skip
    """Label the rows, or the groups and by a legend the names; count what broke; mark a level to compare with."""
    groups = list(dict.fromkeys(group for group, _, _ in drawn))
    if any(groups):
        middles = [[at for at, row in zip(places, drawn, strict=True) if row[0] == group] for group in groups]
        axes.set_yticks([sum(own) / len(own) for own in middles], groups)
    else:
        axes.set_yticks(places, [name for _, name, _ in drawn])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    for place, (_, _, found) in zip(places, drawn, strict=True):
        if remark := _remark(found):
            lost = found.broke == found.seeds
            axes.annotate(f"  {remark}", (0.0 if lost else found.high, place), va="center", fontsize=9, annotation_clip=False, zorder=4,
                          xycoords=("axes fraction", "data") if lost else "data")  # fmt: skip
    if reference is not None:
        axes.axvline(reference[1], color="black", linewidth=1.2, linestyle="--", label=reference[0])
    if limits:
        axes.set_xlim(limits)
    if any(groups) or reference is not None:
        made.legend(loc="outside lower center", ncols=4, frameon=False)


def _remark(found: Estimate) -> str:
    """What has to be said beside a row: that runs broke, and how a claim came out."""
    broke = found.words().partition(",")[0] if found.broke else ""
    return " ".join(filter(None, [broke, f"{MARKS[found.outcome]} {found.outcome}" if found.outcome else ""]))


def _listed(drawn: list[Row]) -> str:
    said, last = [], ""
    for group, name, found in drawn:
        said.append(f"{f'{group}: ' if group and group != last else ''}{name} {_short(found)}")
        last = group
    return "; ".join(said)


def _short(found: Estimate) -> str:
    said = found.words()
    return f"{said} {MARKS[found.outcome]}" if found.outcome else said


def _full(row: Row) -> str:
    return f"{row[0]}, {row[1]}" if row[0] else row[1]
