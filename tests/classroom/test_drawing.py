"""What is drawn on the pad is an image as MNIST has them, and without a drawing there is none."""

import pytest
import torch

from course_lib.classroom import drawing


def test_an_empty_pad_gives_no_image_and_so_does_a_wiped_one() -> None:
    pad = drawing.Pad()
    assert pad.image() is None
    pad.move(5, 5)
    assert pad.image() is None  # the pen is not down
    pad.press(5, 5)
    assert pad.image() is not None
    pad.clear()
    assert pad.image() is None


def test_a_stroke_is_white_along_its_way_and_black_elsewhere() -> None:
    pad = drawing.Pad()
    pad.press(5.5, 14.5)
    pad.move(20.5, 14.5)
    pad.lift()
    pad.move(20.5, 25.5)  # lifted
    image = pad.image()
    assert image is not None
    assert image.shape == (1, 28, 28)
    assert image.dtype == torch.float32
    assert float(image.min()) == 0
    assert float(image.max()) == 1
    assert bool((image[0, 14, 5:21] == 1).all())
    assert float(image[0, 18:].max()) == 0
    assert float(image[0, :, 23:].max()) == 0
    assert 0 < float(image[0, 13, 10]) < 1


def test_the_image_is_a_copy() -> None:
    pad = drawing.Pad()
    pad.press(5, 5)
    first = pad.image()
    pad.move(20, 20)
    second = pad.image()
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


def test_outside_a_notebook_the_pad_says_what_it_is_and_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawing.draw().image() is None
    assert "A pad to draw a digit on" in capsys.readouterr().out


def test_the_canvas_hands_the_mouse_to_the_pad_in_pixels_of_the_image() -> None:
    import ipycanvas

    pad = drawing.Pad()
    _, canvas, button = drawing._panel(pad, ipycanvas).children
    canvas._mouse_down_callbacks(100, 100)
    canvas._mouse_move_callbacks(200, 100)
    canvas._mouse_up_callbacks(200, 100)
    canvas._mouse_move_callbacks(200, 250)
    image = pad.image()
    assert image is not None
    assert float(image[0, 9, 15]) > 0.9
    assert float(image[0, 15:].max()) == 0
    canvas._touch_start_callbacks([(50, 250)])
    assert float(pad.image()[0, 25, 4]) > 0.5  # type: ignore[index]
    button.click()
    assert pad.image() is None
