"""A table that is read at a glance: the darker, the more, with every number in its square."""

from collections.abc import Mapping

import numpy as np

from course_lib.classroom.estimates import Measured
from course_lib.classroom.plots.charts import Bounds, measured
from course_lib.classroom.plots.style import Picture, figure


def heat(
    values: "Mapping[str, Mapping[str, Measured | None]]", label: str, title: str = "", *, limits: Bounds = (0, 100),
    within: Bounds | None = None,
) -> Picture:  # fmt: skip
    """Draw a square for each row and column of `values`, with its mean and, where several seeds are given, half the 95% interval.

    `label`: what is measured, with its unit. `limits`: of the colours, for them to mean the same in several figures. None leaves a
    square empty. `within`: what is possible at all. Raises ValueError without a square.
    """
    columns = list(dict.fromkeys(column for row in values.values() for column in row))
    if not columns:
        raise ValueError("a heat map needs at least one square")
    found = {
        (down, across): measured(given, within, percent=False)
        for down, row in enumerate(values.values())
        for across, given in enumerate(row.get(column) for column in columns)
        if given is not None
    }
    shades = np.full((len(values), len(columns)), np.nan)
    for place, estimate in found.items():
        shades[place] = estimate.mean
    made, axes = figure(title, size=(2.2 + 0.78 * len(columns), 1.7 + 0.42 * len(values)))
    image = axes.imshow(shades, aspect="auto", cmap="Blues", vmin=limits[0], vmax=limits[1])
    made.colorbar(image, ax=axes, label=label)
    axes.grid(visible=False)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(values)), list(values))
    for (down, across), estimate in found.items():
        # White on dark squares, black on light ones.
        dark = estimate.mean > limits[0] + 0.6 * (limits[1] - limits[0])
        written = estimate.words(",.0f").replace(" ± ", "\n±").replace(" (", "\n(")
        axes.text(across, down, written, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    said = [f"{title}." if title else "", f"{label}, row by row."]
    for down, name in enumerate(values):
        cells = [f"{column} {found[down, at].words()}" for at, column in enumerate(columns) if (down, at) in found]
        said.append(f"{name}: {', '.join(cells)}.")
    if any(estimate.spreads for estimate in found.values()):
        said.append("± is half a 95% interval.")
    return Picture(made, " ".join(filter(None, said)))
