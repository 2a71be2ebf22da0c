"""Means with their intervals and every single run, and runs that belong together joined by a line."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from course_lib.classroom.plots.charts import Bounds, Grouped, chart, describe, finish, rows
from course_lib.classroom.plots.style import COLOURS, MARKERS, Picture, figure, looks


def intervals(
    values: Grouped, x: str, title: str = "", reference: tuple[str, float] | None = None, *, margin: float | None = None,
    within: Bounds | None = None, limits: Bounds | None = None, percent: bool = False,
) -> Picture:  # fmt: skip
    """Draw the mean and the 95% interval of each label, and behind it a pale dot for each seed.

    `values`: as for `bars`; a `Finding` is drawn in its own unit, with its outcome beside it. `x`: what is measured, with its
    unit. `margin`: shade what counts as no difference, so far on both sides of 0. The other settings are those of `bars`.
    """
    drawn = rows(values, within, percent)
    made, axes, places = chart(drawn, x, title)
    look = looks(dict.fromkeys(name for _, name, _ in drawn))
    grouped = any(group for group, _, _ in drawn)
    if margin is not None:
        axes.axvspan(-margin, margin, color="0.9", zorder=0, label=f"within {margin:g}")
        reference = reference or ("no difference", 0.0)
    for place, (_, name, found) in zip(places, drawn, strict=True):
        colour, marker = COLOURS[look[name] % len(COLOURS)], MARKERS[look[name] % len(MARKERS)]
        axes.plot(
            found.each, [place] * len(found.each), marker, color=colour, alpha=0.35, markersize=5, markeredgewidth=0
        )
        label = name if grouped and name not in axes.get_legend_handles_labels()[1] else None
        error = [[found.mean - found.low], [found.high - found.mean]] if found.spreads else None
        axes.errorbar(found.mean, place, xerr=error, fmt=marker, color=colour, markersize=8, capsize=5, linewidth=2, label=label,
                      markeredgecolor="black", zorder=3)  # fmt: skip
    axes.set_ylim(-0.6, places[-1] + 0.6)
    finish(made, axes, places, drawn, reference, limits)
    return Picture(made, describe("Means with intervals", values, x, title, reference, within, percent))


def pairs(
    values: Mapping[str, Sequence[float]], y: str, title: str = "Each line is one seed", limits: Bounds | None = None
) -> Picture:
    """Draw a line for each seed from one label to the next: solid where it rises or stays, dashed where it falls.

    `values`: label -> a number for each seed, in the same order for all. Raises ValueError for fewer than two labels, or for
    different numbers of seeds.
    """
    columns = list(values.values())
    if len(columns) < 2 or len({len(own) for own in columns}) != 1:
        raise ValueError(
            f"pairs need two labels with as many seeds each, got { {name: len(own) for name, own in values.items()} }"
        )
    made, axes = figure(title, "", y, size=(5.2, 3.6))
    drawn = set()
    for seed in range(len(columns[0])):
        for at, (first, second) in enumerate(pairwise(columns)):
            fell = second[seed] < first[seed]
            axes.plot([at, at + 1], [first[seed], second[seed]], color=COLOURS[3 if fell else 0], linestyle="--" if fell else "-",
                      marker="v" if fell else "o", alpha=0.75, label=None if fell in drawn else "falls" if fell else "rises")  # fmt: skip
            drawn.add(fell)
    axes.set_xticks(range(len(columns)), list(values))
    axes.set_xlim(-0.3, len(columns) - 0.7)
    if limits:
        axes.set_ylim(limits)
    axes.legend(frameon=False)
    ranges = "; ".join(f"{name}: {min(own):.3g} to {max(own):.3g}" for name, own in values.items())
    names, count = list(values), len(columns[0])
    moves = [
        f"from {names[at]} to {names[at + 1]} {sum(b > a for a, b in zip(columns[at], columns[at + 1], strict=True))} of {count} rise"
        for at in range(len(names) - 1)
    ]
    return Picture(made, f"{title}. {count} lines of {y}; {', '.join(moves)}. {ranges}.")
