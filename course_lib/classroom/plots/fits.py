"""What was measured, the model fitted to it, and how far the model is drawn beyond the points."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from course_lib.classroom.plots.charts import Bounds
from course_lib.classroom.plots.style import COLOURS, Picture, figure

if TYPE_CHECKING:
    from course_lib.learning import Interval

_PLACES = 60  # at which the model is drawn


def fitted(
    measured: Mapping[float, Sequence[float]], model: "Callable[[float], Interval]", x: str, y: str, title: str = "", *,
    upto: float | None = None, log: str = "", limits: Bounds | None = None,
) -> Picture:  # fmt: skip
    """Draw every measured point, and the model with its 95% band: solid where there are points, dashed beyond them.

    `measured`: x -> repeats of y; `model(x)`: an Interval of y, such as `scaling.alpha_beta(...).seconds`. `upto`: how far to
    extrapolate, by default not at all. `log`: "x", "y" or "xy". Raises ValueError without points.
    """
    if not measured or not all(len(own) for own in measured.values()):
        raise ValueError("a fit is drawn beside at least one measured point")
    first, last = min(measured), max(measured)
    end = max(last, upto or last)
    places = np.geomspace(first, end, _PLACES) if "x" in log else np.linspace(first, end, _PLACES)
    made, axes = figure(title, x, y)
    inside = (places <= last * (1 + 1e-9)).sum()
    for part, style, label in ((slice(None, inside), "-", "fitted"), (slice(inside - 1, None), "--", "extrapolated")):
        found = [model(place) for place in places[part]]
        if len(found) > 1:
            axes.plot(places[part], [one.mean for one in found], style, color=COLOURS[0], label=label)
            axes.fill_between(
                places[part], [one.low for one in found], [one.high for one in found], color=COLOURS[0], alpha=0.2, linewidth=0
            )  # fmt: skip
    points = [(at, value) for at, own in measured.items() for value in own]
    axes.plot(*zip(*points, strict=True), "o", color=COLOURS[1], markersize=6, alpha=0.7, label="measured")
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    if limits:
        axes.set_ylim(limits)
    axes.legend(frameon=False)
    said = "; ".join(f"at {at:g}: measured {np.mean(own):.3g}, fitted {model(at):.3g}" for at, own in measured.items())
    ahead = f" Extrapolated to {end:g}: {model(end):.3g}." if end > last else ""
    return Picture(made, f"{f'{title}. ' if title else ''}{y} against {x}, with 95% intervals. {said}.{ahead}")
