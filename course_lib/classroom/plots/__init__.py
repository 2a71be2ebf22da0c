"""The house style of the figures: readable without colour, and each with a summary in words made from its data."""

from course_lib.classroom.plots.bars import bars, describe_bars
from course_lib.classroom.plots.curves import curves, describe_curves
from course_lib.classroom.plots.style import COLOURS, Picture, figure, line, picture, show

__all__ = [
    "COLOURS",
    "Picture",
    "bars",
    "curves",
    "describe_bars",
    "describe_curves",
    "figure",
    "line",
    "picture",
    "show",
]
