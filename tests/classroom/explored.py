"""What a lesson's explorers draw at the ends of their controls, taken from the lesson itself."""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from course_lib import classroom
from course_lib.classroom.plots import Picture, picture
from tests.classroom.steady import moved
from tools import lessons

ROOT = Path(__file__).resolve().parents[2]


class Explored(NamedTuple):
    """What a lesson hands to `classroom.explore`: the function, its controls, and their units."""

    fn: Callable[..., Any]
    controls: Mapping[str, Any]
    units: Mapping[str, str]

    def unsteady(self) -> list[str]:
        """Return the axes that move between the ends of the controls, and the figure's sizes where they differ."""
        settings = [
            dict(zip(self.controls, values, strict=True)) for values in product(*map(_ends, self.controls.values()))
        ]
        drawn = [picture(self.fn(**each)) for each in settings]
        sizes = {tuple(each.figure.get_size_inches()) for each in drawn if isinstance(each, Picture)}
        return moved(self.fn, *settings) + [f"sizes: {sorted(sizes)}"] * (len(sizes) > 1)


def explored(number: str, say: Any = print, **names: Any) -> list[Explored]:
    """Return what a lesson explores; `names`: what its cells find defined when they are run, `say`: who hears what they say."""
    found: list[Explored] = []

    def explore(fn: Any, *, stored: str = "", units: Mapping[str, str] | None = None, **controls: Any) -> None:
        found.append(Explored(fn, controls, units or {}))

    (lesson,) = lessons.find(ROOT, [number])
    for cell in lessons.master(lesson).cells:
        if cell.cell_type == "code" and "classroom.explore(" in cell.source:
            exec(cell.source, {"classroom": SimpleNamespace(explore=explore, plots=classroom.plots, say=say), **names})
    return found


def _ends(control: Any) -> list[Any]:
    """The first and the last value of a slider, or every value of a menu."""
    if isinstance(control, tuple):
        return [control[0], control[1]]
    return list(control.values() if isinstance(control, dict) else control)
