"""The course in one figure: the dial turned stop by stop, what that does to accuracy, and what it costs."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from course_lib.classroom.plots.style import COLOURS, Picture, human
from course_lib.study.dial.stops import FAMILIES, STOPS
from course_lib.study.dial.table import GRADIENTS, REFERENCE, SAID, Row, Table
from course_lib.study.dial.tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from course_lib.learning import Finding

# How a stop compares with DDP: its words, its colour and its marker, which say the same.
SAME_AS, WORSE, BETTER_THAN, OPEN = "as good as DDP, within a point", "worse than DDP", "better than DDP", "cannot tell"
_LOOKS = {SAME_AS: (COLOURS[0], "o"), WORSE: (COLOURS[3], "v"), BETTER_THAN: (COLOURS[2], "^"), OPEN: ("0.55", "s")}
_TICKS = (-80, -40, -20, -10, -5, -2, -1, 1, 2, 5, 10, 20, 40, 80)
# Where panels stand side by side there is room for a few words and ticks.
_FEW_TICKS = (-80, -20, -5, -1, 1, 5, 20, 80)
_SHORT = {"images": "digits", "tabular": "payments, 1% fraud", "text": "keyboard"}
_LOWEST, _HIGHEST, _LITTLE = -95.0, 95.0, 9.0  # points: at equal gradients nobody is far ahead
_BYTES, _SECONDS = (5e3, 2e9), (5e-4, 2e5)


def dial(
    table: Table, data: Sequence[str] = ("images", "tabular", "text"), budget: str = GRADIENTS, profile: str = "phones",
    title: str = "",
) -> Picture:  # fmt: skip
    """Draw all stops from top to bottom: for each data set the difference from DDP in points with its interval and its score, and the price.

    Shaded is what counts as no difference, a point on either side; the scale is linear there and logarithmic beyond. The price is that of the
    first data set: bytes through a participant's link, and simulated seconds with the devices and links of `profile`; both for the whole run,
    with all its gradients. A difference is judged by the whole interval, with Holm's correction for all stops of a data set.
    """
    from matplotlib.figure import Figure

    stops = _stops(table)
    places = _places(stops)
    made = Figure(
        figsize=(10.6 if len(data) > 1 else 10.4, 1.75 + 0.245 * max(places.values())), dpi=100, layout="constrained"
    )
    wide = 1.25 if len(data) > 1 else 2.2
    panels = made.subplots(1, len(data) + 2, sharey=True, width_ratios=[wide] * len(data) + [0.6, 0.6], squeeze=False)[
        0
    ]
    highest = _LITTLE if len(data) > 1 and budget == GRADIENTS else _HIGHEST
    said = [
        _scores(axes, table, name, budget, places, highest, len(data) > 1)
        for axes, name in zip(panels, data, strict=False)
    ]
    said += _prices(panels[len(data) :], table.of(data[0]), places, profile)
    _names(panels[0], stops, places)
    made.suptitle(title or f"The dial: 20 participants, {SAID[budget]}", fontsize=13)
    _legend(made)
    return Picture(made, f"{title or 'The dial'}. {' '.join(said)}")


def _stops(table: Table) -> list[Row]:
    """Return a row for each stop that any of the three data sets has, in the order of the dial: the figure looks alike for all of them."""
    found = {row.stop: row for row in reversed(table.rows) if row.data in ("images", "tabular", "text")}
    return [found[stop] for stop in STOPS if stop in found]


def _places(stops: Sequence[Row]) -> dict[str, float]:
    """Return where each stop stands, from the top; before each family there is room for its name."""
    found, place, family = {}, 0.0, ""
    for row in stops:
        place += 1.0 if row.family == family else 2.05
        found[row.stop], family = place, row.family
    return found


def _names(axes: "Axes", stops: Sequence[Row], places: dict[str, float]) -> None:
    axes.set_yticks([places[row.stop] for row in stops], [row.title for row in stops], fontsize=9)
    axes.set_ylim(max(places.values()) + 0.8, 0.4)
    drawn: set[str] = set()
    for row in stops:
        if row.family not in drawn:
            drawn.add(row.family)
            axes.annotate(
                FAMILIES[row.family], (0, places[row.stop] - 1.0), xycoords=("axes fraction", "data"), xytext=(-8, 0),
                textcoords="offset points", ha="right", va="center", fontsize=9.5, fontweight="bold", annotation_clip=False,
            )  # fmt: skip


def kind(finding: "Finding") -> str:
    """Return how a stop compares with DDP, in the words of the figure's legend; `finding`: of the claim that it equals DDP."""
    if finding.outcome == "holds":
        return SAME_AS
    if finding.outcome == "cannot tell" or finding.interval is None:
        return OPEN
    return WORSE if finding.interval.mean < 0 else BETTER_THAN


def _scores(
    axes: "Axes", table: Table, data: str, budget: str, places: dict[str, float], highest: float, brief: bool
) -> str:
    rows, findings = table.of(data), table.differences(data, budget=budget)
    measure = "accuracy" if TASKS[data].score == "accuracy" else "PR-AUC"
    axes.axvspan(-1, 1, color="0.9", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1, zorder=1)
    for stop, row in rows.items():
        if stop not in places:
            continue
        axes.annotate(
            _number(row, budget), (1.0, places[stop]), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
            ha="left", va="center", fontsize=8, color="0.15", annotation_clip=False,
        )  # fmt: skip
        found = findings.get(stop)
        shown = found.shown if found is not None else None
        if found is not None and shown is not None:
            colour, marker = _LOOKS[kind(found)]
            low, high = max(shown.low, _LOWEST), min(shown.high, highest)
            axes.plot([low, high], [places[stop]] * 2, color=colour, linewidth=2, zorder=2, solid_capstyle="butt")
            axes.plot(
                shown.mean,
                places[stop],
                marker,
                color=colour,
                markersize=7,
                markeredgecolor="black",
                markeredgewidth=0.6,
                zorder=3,
            )
        elif stop == REFERENCE:
            axes.plot(0, places[stop], "D", color="black", markersize=6, zorder=3)
    axes.set_xscale("symlog", linthresh=2, linscale=0.9)
    axes.set_xlim(_LOWEST, highest)
    ticks = [tick for tick in (_FEW_TICKS if brief else _TICKS) if tick < highest]
    axes.set_xticks(ticks, [f"{tick:+d}" for tick in ticks], fontsize=7.5, rotation=60)
    axes.minorticks_off()
    _plain(axes)
    own = rows[REFERENCE].interval(budget)
    start = ", before any step" if REFERENCE in table.idle(data, budget) else ""
    axes.set_title(f"{_SHORT[data] if brief else TASKS[data].title}\nDDP{start}: {measure} {own:.1%}", fontsize=9)
    axes.set_xlabel("points over DDP" if brief else "points more or less than DDP", fontsize=8)
    axes.annotate(f"{measure} (%)", (1.0, 1.05), xycoords=("axes fraction", "data"), xytext=(30, 0), textcoords="offset points",
                  ha="right", va="center", fontsize=7, color="0.15", annotation_clip=False)  # fmt: skip
    said = _told(data, measure, rows, findings, budget, brief)
    if start:
        said += f" Moving the data takes all that there is: without a step are {'; '.join(rows[stop].title for stop in rows if stop in table.idle(data, budget))}."
    return said


def _number(row: Row, budget: str) -> str:
    known = [value for value in row.scores(budget).values() if isfinite(value)]
    if not known:
        return "broke"
    return f"{100 * sum(known) / len(known):.1f}" + (f" ({row.broke} broke)" if row.broke else "")


def _told(
    data: str, measure: str, rows: Mapping[str, Row], findings: "Mapping[str, Finding]", budget: str, brief: bool
) -> str:  # fmt: skip
    """Return what a panel shows, in words; `brief`: those that are as good, and those that cannot be told, are only counted."""
    sorted_by: dict[str, list[str]] = {}
    for stop, found in findings.items():
        shown = found.shown
        by = f" by {abs(shown.mean):.1f}" if shown is not None and kind(found) in (WORSE, BETTER_THAN) else ""
        sorted_by.setdefault(kind(found), []).append(f"{rows[stop].title}{by}")
    parts = []
    for name in (BETTER_THAN, WORSE, SAME_AS, OPEN):
        own = sorted_by.get(name, [])
        if own:
            listed = "" if brief and name in (SAME_AS, OPEN) else f": {'; '.join(own)}"
            parts.append(f"{name[0].upper()}{name[1:]} ({len(own)}){listed}.")
    return f"{TASKS[data].title}, {SAID[budget]}: DDP's {measure} is {rows[REFERENCE].interval(budget):.1%}. {' '.join(parts)}"


def _prices(panels: Sequence["Axes"], rows: Mapping[str, Row], places: dict[str, float], profile: str) -> list[str]:
    said = []
    labels = {"bytes": "bytes a\nparticipant", "seconds": f"seconds, {profile}\n(simulated)"}
    for axes, (what, limits) in zip(panels, (("bytes", _BYTES), ("seconds", _SECONDS)), strict=True):
        values = {
            row.stop: row.mean("bytes_per_participant") if what == "bytes" else row.mean("seconds", profile)
            for row in rows.values()
        }
        for stop, value in values.items():
            if value:
                axes.plot(
                    [limits[0], value], [places[stop]] * 2, color="0.75", linewidth=5, solid_capstyle="butt", zorder=1
                )
                axes.text(
                    value * 1.25,
                    places[stop],
                    human(value) if what == "bytes" else _seconds(value),
                    va="center",
                    fontsize=7.5,
                )
        axes.set_xscale("log")
        axes.set_xlim(limits)
        axes.minorticks_off()
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(labels[what], fontsize=9)
        _plain(axes)
        known = {stop: value for stop, value in values.items() if value}
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        names = {row.stop: row.title for row in rows.values()}
        shown = human if what == "bytes" else _seconds
        said.append(
            f"{labels[what].replace(chr(10), ' ').capitalize()}: from {shown(known[least])} ({names[least]}) to {shown(known[most])} ({names[most]})."
        )
    return said


def _seconds(value: float) -> str:
    for unit, one in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if value >= one:
            return f"{value / one:.3g} {unit}"
    return f"{1000 * value:.3g} ms"


def _plain(axes: "Axes") -> None:
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _legend(made: "Figure") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, markeredgecolor="black", markersize=7, label=name)
        for name, (colour, marker) in _LOOKS.items()
    ]
    handles.append(Patch(color="0.9", label="what counts as no difference"))
    made.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
