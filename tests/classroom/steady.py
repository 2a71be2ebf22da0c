"""Whether a figure's axes stay where they are when a control moves, so that the eye compares what is drawn."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from course_lib import classroom
from course_lib.classroom.explorers import Control, Explorer
from course_lib.classroom.plots import Picture


class AxesMove(UserWarning):
    """An explorer's axes follow one of its controls."""


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on in this test, `classroom.explore` shows nothing and warns of each axis that moves, as AxesMove."""

    def explore(fn: Callable[..., Any], *, stored: str = "", units: Any = None, **controls: Control) -> None:
        for found in moved_by(fn, **controls):
            warnings.warn(f"{fn.__name__}: {found}", AxesMove, stacklevel=2)

    monkeypatch.setattr(classroom, "explore", explore)


def moved_by(fn: Callable[..., Any], **controls: Control) -> list[str]:
    """Return, for each control that goes from end to end while the others stay at their start, which axes it moves and how."""
    start = Explorer(fn, controls).start
    return [
        f"{name}: {found}"
        for name, control in controls.items()
        for found in moved(fn, *({**start, name: value} for value in _places(control)))
    ]


def _places(control: Control) -> list[Any]:
    """The ends of a slider; every entry of a menu; both states of a tick box."""
    if isinstance(control, bool):
        return [False, True]
    if isinstance(control, tuple):
        return list(control[:2])
    return list(control.values()) if isinstance(control, dict) else control


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
