"""What predictions and explorers share: sliders, and how a widget is put beside its text twin."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ipywidgets

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def slider(low: float, high: float, step: float, start: float, **options: Any) -> "ipywidgets.Widget":
    """Return a slider that shows as many digits as its step has; it gives whole numbers where all four are ints.

    Raises ValueError for a scale without room on it.
    """
    import ipywidgets as widgets

    if not (low < high and 0 < step <= high - low):
        raise ValueError(f"a slider needs low < high and a step between, got {(low, high, step)}")
    if all(isinstance(part, int) for part in (low, high, step, start)):
        return widgets.IntSlider(value=start, min=low, max=high, step=step, **options)
    digits = len(f"{step:g}".partition(".")[2])
    return widgets.FloatSlider(
        value=start, min=low, max=high, step=step, readout_format=f".{digits}f", **options
    )  # fmt: skip


def view(widget: "ipywidgets.Widget") -> dict[str, Any]:
    """Return the MIME entry that makes a front end draw `widget`."""
    return {WIDGET_VIEW: widget._repr_mimebundle_()[WIDGET_VIEW]}
