"""The course in one figure: the dial turned stop by stop, what that does to accuracy, and what it costs."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from course_lib.classroom.plots.style import COLOURS, Picture, human
from course_lib.study.dial.stops import FAMILIES
from course_lib.study.dial.table import GRADIENTS, REFERENCE, SAID, Row, Table
from course_lib.study.dial.tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from course_lib.learning import Finding

# How a stop compares with DDP: its words, its colour and its marker, which say the same.
_SAME, _WORSE, _BETTER, _OPEN = "as good as DDP, within a point", "worse than DDP", "better than DDP", "cannot tell"
_LOOKS = {_SAME: (COLOURS[0], "o"), _WORSE: (COLOURS[3], "v"), _BETTER: (COLOURS[2], "^"), _OPEN: ("0.55", "s")}
_TICKS = (-80, -40, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10)
_LIMITS = (-95, 14)
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

    stops = list(table.of(data[0]).values())
    places = _places(stops)
    made = Figure(
        figsize=(12.8 if len(data) > 1 else 10.4, 1.75 + 0.245 * max(places.values())), dpi=100, layout="constrained"
    )
    wide = 1.25 if len(data) > 1 else 2.2
    panels = made.subplots(1, len(data) + 2, sharey=True, width_ratios=[wide] * len(data) + [0.6, 0.6], squeeze=False)[
        0
    ]
    said = [_scores(axes, table, name, budget, places) for axes, name in zip(panels, data, strict=False)]
    said += _prices(panels[len(data) :], stops, places, profile)
    _names(panels[0], stops, places)
    made.suptitle(title or f"The dial: 20 participants, {SAID[budget]}", fontsize=13)
    _legend(made)
    return Picture(made, f"{title or 'The dial'}. {' '.join(said)}")


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
        return _SAME
    if finding.outcome == "cannot tell" or finding.interval is None:
        return _OPEN
    return _WORSE if finding.interval.mean < 0 else _BETTER


def _scores(axes: "Axes", table: Table, data: str, budget: str, places: dict[str, float]) -> str:
    rows, findings = table.of(data), table.differences(data, budget=budget)
    measure = "accuracy" if TASKS[data].score == "accuracy" else "PR-AUC"
    axes.axvspan(-1, 1, color="0.9", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1, zorder=1)
    for stop, row in rows.items():
        if stop not in places:
            continue
        axes.text(
            _LIMITS[1] * 0.96, places[stop], _number(row, budget), ha="right", va="center", fontsize=8, color="0.15"
        )
        found = findings.get(stop)
        shown = found.shown if found is not None else None
        if found is not None and shown is not None:
            colour, marker = _LOOKS[kind(found)]
            low, high = max(shown.low, _LIMITS[0]), min(shown.high, _LIMITS[1])
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
    axes.set_xlim(_LIMITS)
    axes.set_xticks(_TICKS, [f"{tick:+d}" if tick else "0" for tick in _TICKS], fontsize=7, rotation=60)
    axes.minorticks_off()
    _plain(axes)
    own = rows[REFERENCE].interval(budget)
    axes.set_title(f"{TASKS[data].title}\nDDP: {measure} {own:.1%}", fontsize=9)
    axes.set_xlabel(f"{measure} less DDP's (points); right: its {measure} (%)", fontsize=8)
    return _told(data, measure, rows, findings, budget)


def _number(row: Row, budget: str) -> str:
    known = [value for value in row.scores(budget).values() if isfinite(value)]
    if not known:
        return "broke"
    return f"{100 * sum(known) / len(known):.1f}" + (f" ({row.broke} broke)" if row.broke else "")


def _told(data: str, measure: str, rows: dict[str, Row], findings: "dict[str, Finding]", budget: str) -> str:
    sorted_by: dict[str, list[str]] = {}
    for stop, found in findings.items():
        shown = found.shown
        by = f" by {abs(shown.mean):.1f}" if shown is not None and kind(found) in (_WORSE, _BETTER) else ""
        sorted_by.setdefault(kind(found), []).append(f"{rows[stop].title}{by}")
    listed = " ".join(
        f"{name[0].upper()}{name[1:]} ({len(own)}): {'; '.join(own)}."
        for name in _LOOKS
        if (own := sorted_by.get(name))
    )
    return f"{TASKS[data].title}, {SAID[budget]}: DDP's {measure} is {rows[REFERENCE].interval(budget):.1%}. {listed}"


def _prices(panels: Sequence["Axes"], stops: Sequence[Row], places: dict[str, float], profile: str) -> list[str]:
    said = []
    labels = {"bytes": "bytes a participant", "seconds": f"simulated seconds,\n{profile}"}
    for axes, (what, limits) in zip(panels, (("bytes", _BYTES), ("seconds", _SECONDS)), strict=True):
        values = {
            row.stop: row.mean("bytes_per_participant") if what == "bytes" else row.mean("seconds", profile)
            for row in stops
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
        names = {row.stop: row.title for row in stops}
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


def _legend(made: "object") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, markeredgecolor="black", markersize=7, label=name)
        for name, (colour, marker) in _LOOKS.items()
    ]
    handles.append(Patch(color="0.9", label="what counts as no difference"))
    made.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)  # type: ignore[attr-defined]
