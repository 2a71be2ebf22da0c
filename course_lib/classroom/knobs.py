"""What predictions and explorers share: sliders, and how widgets are shown so that a saved notebook outlives its kernel."""

import sys
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards

if TYPE_CHECKING:
    import ipywidgets

# All of a narrow page that a widget can have: it has a margin of 2px on each side.
WHOLE = "calc(100% - 4px)"

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

# Widgets live in the kernel: without it, JupyterLab shows "Error displaying widget" in their place. So the output under them
# holds what they showed last. Of the two, a style shows the widgets while they live, else that output. It names the parts of
# JupyterLab's pages (Notebook 7 has the same): elsewhere both are seen.
_ALIVE = ":has(.widget-box:not(.jupyter-widgets-disconnected))"
_STYLE = (
    f".jp-OutputArea-child{_ALIVE} + .jp-OutputArea-child:has(.course-kept),"
    f".jp-OutputArea-child:not({_ALIVE}):has(+ .jp-OutputArea-child .course-kept) {{display: none}}"
)

# ipywidgets gives sliders no name that a screen reader could say. They are drawn some time after the output, and again when
# the page is opened while the kernel lives.
_NAMES = """
(() => {
  const kept = document.currentScript.parentElement, area = kept.closest(".jp-OutputArea-child")?.previousElementSibling;
  const name = () => area.querySelectorAll(".widget-slider").forEach((slider) =>
    slider.querySelectorAll(".noUi-handle, .widget-readout").forEach((part) =>
      part.setAttribute("aria-label", kept.dataset.name || slider.querySelector(".widget-label").textContent)));
  const watch = new MutationObserver(() => kept.isConnected ? name() : watch.disconnect());
  if (area) { name(); watch.observe(area, {childList: true, subtree: true}); }
})()
"""


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


def show(widget: "ipywidgets.Widget", text: str, html: str, name: str = "") -> Callable[[str, str], None]:
    """Show `widget`, and keep `html` and its `text` twin under it for when its kernel is gone; only `text` in a terminal.

    Returns a function that replaces both, so that a saved notebook shows what the widget showed last. `name`: what a screen
    reader calls the widget's slider, if not by its label.
    """
    if not cards.in_notebook():
        cards.show(text)
        return lambda text, html: None
    import IPython.display

    def bundle(text: str, html: str) -> dict[str, str]:
        script = f"<style>{_STYLE}</style><script>{_NAMES}</script>"
        return {
            "text/plain": text,
            "text/html": f'<div class="course-kept" data-name="{escape(name)}">{script}{html}</div>',
        }

    if "google.colab" in sys.modules:  # it saves what its widgets showed, and its pages have no place for the style
        IPython.display.display(widget)
        return lambda text, html: None
    IPython.display.display({_WIDGET_VIEW: widget._repr_mimebundle_()[_WIDGET_VIEW]}, raw=True)
    handle = IPython.display.DisplayHandle()
    handle.display(bundle(text, html), raw=True)
    return lambda text, html: handle.update(bundle(text, html), raw=True)
