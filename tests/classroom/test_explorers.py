"""Turning a knob redraws at once; the callbacks are tested without a browser."""

import re
from typing import Any

import pytest
from ipywidgets import Checkbox, Dropdown, FloatSlider, IntSlider

from course_lib import classroom
from course_lib.classroom import plots
from course_lib.classroom.explorers import Explorer, as_html


def height(level: int = 3, dashed: bool = False, colour: str = "blue") -> tuple[Any, str]:
    made, axes = plots.figure(f"Level {level}")
    axes.plot([0, 1], [level, level + 1], "--" if dashed else "-", color=colour)
    return made, f"A line at level {level}, {colour}."


def say(rate: float) -> str:
    if rate > 2:
        raise ValueError("too fast")
    return f"rate `{rate}`"


def shown(explorer: Explorer) -> tuple[dict[str, Any], Any]:
    """The knobs by parameter and the screen."""
    first = as_html(explorer.draw(**explorer.start))
    _, *knobs, screen = explorer.panel(first).children
    return dict(zip(explorer.start, knobs, strict=True)), screen


def test_moving_a_knob_replaces_the_picture_and_its_alternative_text() -> None:
    knobs, screen = shown(Explorer(height, {"level": (1, 5, 1)}))
    before = screen.value
    assert 'alt="A line at level 3, blue."' in before
    knobs["level"].value = 4
    assert 'alt="A line at level 4, blue."' in screen.value
    images = [re.findall(r"base64,([^\"]+)", html)[0] for html in (before, screen.value)]
    assert images[0] != images[1]


def test_every_kind_of_control_gets_its_widget_and_starts_at_the_parameters_default() -> None:
    controls: dict[str, Any] = {"level": (1, 5, 1), "dashed": True, "colour": {"sea": "blue", "sun": "orange"}}
    knobs, _ = shown(Explorer(height, controls))
    assert isinstance(knobs["level"], IntSlider) and knobs["level"].value == 3
    assert isinstance(knobs["dashed"], Checkbox) and knobs["dashed"].value is False
    assert isinstance(knobs["colour"], Dropdown) and knobs["colour"].value == "blue"


def test_without_a_default_a_control_starts_at_its_first_value() -> None:
    for control, first in [((0.5, 2.0, 0.5), 0.5), ([2.0, 1.0], 2.0), ({"one": 1.0}, 1.0)]:
        assert Explorer(say, {"rate": control}).start == {"rate": first}  # type: ignore[dict-item]


def test_a_slider_of_fractions_passes_fractions_on() -> None:
    knobs, screen = shown(Explorer(say, {"rate": (0.5, 3.0, 0.25)}))
    assert isinstance(knobs["rate"], FloatSlider)
    knobs["rate"].value = 1.25
    assert "rate <code>1.25</code>" in screen.value


def test_an_error_in_the_function_is_shown_and_the_next_setting_works() -> None:
    knobs, screen = shown(Explorer(say, {"rate": [1, 3]}))
    knobs["rate"].value = 3
    assert "This setting does not work: ValueError: too fast" in screen.value
    knobs["rate"].value = 1
    assert "rate <code>1</code>" in screen.value


def test_the_text_twin_names_the_controls_and_says_what_the_first_picture_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    classroom.explore(height, level=(1, 5, 1))
    classroom.explore(say, stored="60 runs, seeds 0 to 4", rate=[1, 2])
    assert capsys.readouterr().out.splitlines() == [
        "Explore: change level. Computed live, on the spot. Here: level 3.", "A line at level 3, blue.",
        "Explore: change rate. Looked up in a stored study (60 runs, seeds 0 to 4). Here: rate 1.", "rate `1`",
    ]  # fmt: skip


def test_what_a_saved_notebook_keeps_follows_the_knobs_and_says_how_to_get_them_back() -> None:
    colours = {"sea": "blue", "sun": "orange"}
    explorer = Explorer(height, {"level": (1, 5, 1), "dashed": True, "colour": colours}, units={"level": "m"})
    kept: list[tuple[str, str]] = []
    explorer.keep = lambda text, html: kept.append((text, html))
    knobs, screen = shown(explorer)
    knobs["level"].value = 4
    knobs["colour"].value = "orange"
    text, html = kept[-1]
    assert text.endswith("Here: level 4 m, dashed no, colour sun.\nA line at level 4, orange.")
    assert "Here: level 4 m, dashed no, colour sun. Run this cell to get the controls." in html
    assert html.endswith(screen.value), "the same picture"


def test_a_setting_that_does_not_work_keeps_the_last_picture() -> None:
    explorer = Explorer(say, {"rate": [1, 2, 3]})
    kept: list[str] = []
    explorer.keep = lambda text, html: kept.append(text)
    knobs, _ = shown(explorer)
    knobs["rate"].value = 2
    knobs["rate"].value = 3
    assert len(kept) == 1 and kept[0].endswith("rate `2`")


def test_units_stand_beside_their_controls_and_must_have_one() -> None:
    knobs, _ = shown(Explorer(say, {"rate": (0.5, 3.0, 0.25)}, units={"rate": "1/s"}))
    assert knobs["rate"].description == "rate (1/s)"
    with pytest.raises(ValueError, match="units are for pace, but the controls are: rate"):
        classroom.explore(say, units={"pace": "m/s"}, rate=[1])


def test_every_kind_of_control_has_a_name_and_takes_a_unit() -> None:
    def draw(local_steps: int, speed: str, wide: bool, rate: float) -> str:
        return "drawn"

    controls: dict[str, Any] = {
        "local_steps": (1, 5, 1),
        "speed": [1, 2],
        "wide": True,
        "rate": {"low": 0.1, "high": 1.0},
    }
    units = {"local_steps": "batches", "speed": "MB/s", "rate": "1/s"}
    knobs, _ = shown(Explorer(draw, controls, units=units))
    names = ["local steps (batches)", "speed (MB/s)", "wide", "rate (1/s)"]
    assert [knob.description for knob in knobs.values()] == names


@pytest.mark.parametrize("controls", [{}, {"pace": [1]}, {"rate": [1], "pace": [1]}])
def test_controls_must_match_the_parameters(controls: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`say` takes rate, but the controls are for"):
        classroom.explore(say, **controls)


def test_an_empty_menu_and_a_scale_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="a menu needs at least one value"):
        classroom.explore(say, rate=[])
    with pytest.raises(ValueError, match="low < high and a step between"):
        classroom.explore(say, rate=(1, 1, 1))


def test_a_result_that_cannot_be_shown_is_named() -> None:
    with pytest.raises(TypeError, match=re.escape("expected a Picture, a Figure, (Figure, summary) or text, got int")):
        classroom.explore(lambda rate: rate, rate=[1])
