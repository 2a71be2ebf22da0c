"""Figures with limits stay put when a control moves, and the helper that says so sees those that do not."""

import warnings
from typing import Any

import pytest

from course_lib import classroom
from course_lib.classroom import plots
from tests.classroom.steady import AxesMove, moved, moved_by, watch

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


def two_knobs(level: int = 10, across: bool = False, colour: str = "blue") -> Any:
    made, axes = plots.figure()
    axes.plot([0, 1], [0, 1], color=colour)
    axes.set_xlim(0, 2 if across else 1)
    axes.set_ylim(0, level)
    return made, f"Up to {level}."


def test_each_control_is_moved_from_end_to_end_and_named_where_an_axis_follows() -> None:
    found = moved_by(two_knobs, level=(1, 9, 1), across=False, colour={"sea": "blue", "sun": "orange"})
    assert [one.split(": ")[:2] for one in found] == [["level", "y of panel 0"], ["across", "x of panel 0"]]
    assert moved_by(two_knobs, colour=["blue", "orange"]) == []
    assert len(moved_by(two_knobs, level=[5, 5, 9])) == 1, "every entry of a menu counts"
    assert moved_by(lambda level: f"level {level}", level=(1, 9, 1)) == [], "text has no axes"


def test_an_explorer_whose_axes_move_is_warned_of_in_a_test(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(monkeypatch)
    with pytest.warns(AxesMove, match="two_knobs: level: y of panel 0"):
        classroom.explore(two_knobs, units={"level": "m"}, level=(1, 9, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classroom.explore(two_knobs, stored="a study", colour=["blue", "orange"])
    assert capsys.readouterr().out == ""
