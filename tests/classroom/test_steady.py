"""Figures with limits stay put when a control moves, and the helper that says so sees those that do not."""

from typing import Any

from course_lib.classroom import plots
from tests.classroom.steady import moved

SETTINGS = ({"level": 10}, {"level": 60}, {"level": 90})


def bars(level: int) -> Any:
    return plots.bars({"DML": level, "FL": level / 2}, "accuracy (%)", limits=(0, 100))


def lines(level: int) -> Any:
    return plots.lines({"DML": {1: level, 2: level / 2}}, "workers", "accuracy (%)", limits=(0, 100))


def scatter(level: int) -> Any:
    return plots.scatter({"FL": [(1, level), (2, level / 2)]}, "images", "accuracy (%)", limits=(0, 100))


def loose(level: int) -> Any:
    made, axes = plots.figure()
    axes.plot([0, 1], [0, level])
    return made, f"Up to {level}."


def test_helpers_with_limits_keep_their_axes() -> None:
    for drawing in (bars, lines, scatter):
        assert moved(drawing, *SETTINGS) == [], drawing.__name__


def test_axes_that_follow_the_data_are_named() -> None:
    (found,) = moved(loose, *SETTINGS)
    assert found.startswith("y of panel 0: ")
