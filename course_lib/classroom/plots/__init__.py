"""The house style of the figures: readable without colour, and each with a summary in words made from its data."""

from course_lib.classroom.plots.bars import bars, describe_bars, stacked
from course_lib.classroom.plots.curves import curves, describe_curves
from course_lib.classroom.plots.diagrams import diagram
from course_lib.classroom.plots.fits import fitted
from course_lib.classroom.plots.heat import heat
from course_lib.classroom.plots.intervals import intervals, pairs
from course_lib.classroom.plots.lines import lines, scatter
from course_lib.classroom.plots.pipelines import Box, pipeline
from course_lib.classroom.plots.rings import ring
from course_lib.classroom.plots.style import COLOURS, Picture, figure, human, line, name_colours, picture, show
from course_lib.classroom.plots.timelines import deadline

__all__ = [
    "COLOURS", "Box", "Picture", "bars", "curves", "deadline", "describe_bars", "describe_curves", "diagram", "figure", "fitted", "heat",
    "human", "intervals", "line", "lines", "name_colours", "pairs", "picture", "pipeline", "ring", "scatter", "show", "stacked",
]  # fmt: skip
