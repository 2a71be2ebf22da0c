"""A pad to draw a digit on with mouse or finger; what is drawn is kept as the pixels of a small grey image."""

from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.classroom import cards, knobs

if TYPE_CHECKING:
    from torch import Tensor

_SIDE, _SCALE = 28, 10  # pixels of the image, and screen pixels of each


class Pad:
    """What has been drawn: white strokes on black, 28 x 28 pixels of 0 to 1, as in MNIST."""

    def __init__(self) -> None:
        self._pixels = np.zeros((_SIDE, _SIDE), dtype=np.float32)
        self._pen: tuple[float, float] | None = None

    def image(self) -> "Tensor | None":
        """Return what was drawn, `(1, 28, 28)`, or None where nothing was: choose an image then."""
        import torch

        return torch.from_numpy(self._pixels.copy())[None] if self._pixels.any() else None

    def press(self, x: float, y: float) -> None:
        """Put the pen down at (x, y), in image pixels from the upper left corner."""
        self._pen = (x, y)
        self.move(x, y)

    def move(self, x: float, y: float) -> None:
        """Draw from where the pen is to (x, y); nothing while it is lifted."""
        if self._pen is None:
            return
        start, end = np.array(self._pen), np.array((x, y))
        down, across = np.mgrid[:_SIDE, :_SIDE] + 0.5
        places = np.stack([across, down], axis=-1) - start
        along = end - start
        share = np.clip(places @ along / max(float(along @ along), 1e-9), 0, 1)
        distance = np.linalg.norm(places - share[..., None] * along, axis=-1)
        self._pixels = np.maximum(self._pixels, np.clip(1.8 - distance, 0, 1).astype(np.float32))
        self._pen = (x, y)

    def lift(self) -> None:
        """Take the pen off."""
        self._pen = None

    def clear(self) -> None:
        """Wipe everything."""
        self._pixels[:] = 0
        self._pen = None


def draw() -> Pad:
    """Show a pad to draw on and return it; where none can be shown, it stays empty."""
    pad = Pad()
    text = "A pad to draw a digit on. Run this cell to draw; without a drawing, a chosen image is taken."
    if not cards.in_notebook():
        cards.show(text)
        return pad
    try:
        import ipycanvas
    except ImportError:
        cards.show_card("told", "Drawing needs the package ipycanvas, which is missing here: choose an image below.")
        return pad
    knobs.show(_panel(pad, ipycanvas), text, cards.card("told", text), name="Draw a digit")
    return pad


def _panel(pad: Pad, ipycanvas: Any) -> Any:
    import ipywidgets as widgets

    side = _SIDE * _SCALE
    canvas = ipycanvas.Canvas(width=side, height=side, layout={"width": f"{side}px", "height": f"{side}px"})

    def wipe(_: Any = None) -> None:
        pad.clear()
        canvas.fill_style = "black"
        canvas.fill_rect(0, 0, side, side)

    def show() -> None:
        grey = (255 * pad._pixels).astype(np.uint8).repeat(_SCALE, 0).repeat(_SCALE, 1)
        canvas.put_image_data(np.stack([grey] * 3, axis=-1), 0, 0)

    def down(x: float, y: float) -> None:
        pad.press(x / _SCALE, y / _SCALE)
        show()

    def move(x: float, y: float) -> None:
        if pad._pen is not None:
            pad.move(x / _SCALE, y / _SCALE)
            show()

    def up(x: float = 0, y: float = 0) -> None:
        pad.lift()

    canvas.on_mouse_down(down)
    canvas.on_mouse_move(move)
    canvas.on_mouse_up(up)
    canvas.on_mouse_out(up)
    canvas.on_touch_start(lambda touches: down(*touches[0]))
    canvas.on_touch_move(lambda touches: move(*touches[0]))
    canvas.on_touch_end(lambda touches: up())
    button = widgets.Button(description="Wipe")
    button.on_click(wipe)
    wipe()
    hint = widgets.HTML("Draw a digit with mouse or finger, large and in the middle; or leave the pad empty.")
    return widgets.VBox([hint, canvas, button])
