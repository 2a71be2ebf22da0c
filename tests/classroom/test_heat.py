"""Heat maps: numbers in the squares, colours on a scale that stays, and the same in words."""

from typing import Any

import numpy as np
import pytest

from course_lib.classroom import plots

VALUES: Any = {
    "no attacker": {"mean": [90.0, 92.0, 94.0], "Krum": [80.0, 80.0, 80.0]},
    "IPM": {"mean": [50.0, 60.0, 70.0], "Krum": None},
}


def test_each_square_has_its_mean_and_half_its_interval_and_the_words_say_the_same() -> None:
    picture = plots.heat(VALUES, "accuracy (%)", "Attacks", within=(0, 100))
    axes = picture.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["92\n±5", "80", "60\n±25"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["mean", "Krum"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no attacker", "IPM"]
    assert "no attacker: mean 92.0 ± 5.0, Krum 80. IPM: mean 60 ± 25." in picture.summary


def test_a_square_without_a_value_stays_empty() -> None:
    shades: Any = plots.heat(VALUES, "accuracy (%)").figure.axes[0].images[0].get_array()
    assert np.isnan(np.ma.filled(shades, np.nan)).tolist() == [[False, False], [False, True]]


def test_colours_keep_their_scale_and_numbers_can_be_read_on_them() -> None:
    axes = plots.heat(VALUES, "accuracy (%)", limits=(0, 100)).figure.axes[0]
    assert axes.images[0].get_clim() == (0, 100)
    assert [text.get_color() for text in axes.texts] == ["white", "white", "black"]


def test_a_heat_map_without_a_square_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one square"):
        plots.heat({}, "accuracy (%)")
