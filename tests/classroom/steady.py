"""Whether a figure's axes stay where they are when a control moves, so that the eye compares what is drawn."""

from collections.abc import Callable, Mapping
from typing import Any

from course_lib.classroom.explorers import Explorer
from course_lib.classroom.plots import Picture


def moved(fn: Callable[..., Any], *settings: Mapping[str, Any]) -> list[str]:
    """Return, for each axis whose limits differ between two or more `settings` of an explorer's `fn`, which and how."""
    explorer = Explorer(fn, {name: [value] for name, value in settings[0].items()})
    pictures = [explorer.draw(**each) for each in settings]
    drawn = [picture.figure.axes for picture in pictures if isinstance(picture, Picture)]
    found = []
    for number, panels in enumerate(zip(*drawn, strict=True)):
        for axis in ("x", "y"):
            limits = {getattr(panel, f"get_{axis}lim")() for panel in panels}
            if len(limits) > 1:
                found.append(f"{axis} of panel {number}: {sorted(limits)}")
    return found
