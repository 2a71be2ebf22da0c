"""Palette, markers and figures; and pictures, which carry their alternative text with them."""

import base64
import io
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), the order chosen so that neighbours differ most; yellow is left out, too pale for lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "oo")
_DPI = 100


def line(index: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the line with this index; no two of the first 28 share all three."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": _DASHES[index % len(_DASHES)],
    }


_NAMED: dict[str, int] = {}


def name_colours(*names: str) -> None:
    """Give each name a look of its own, colour, marker and hatch, in all figures that follow; call it once a lesson.

    Raises ValueError for more names than there are colours.
    """
    if len(names) > len(COLOURS):
        raise ValueError(
            f"{len(names)} names for {len(COLOURS)} colours: name only those that come back in several figures"
        )
    _NAMED.clear()
    _NAMED.update({name: index for index, name in enumerate(names)})


def looks(names: "Iterable[str]") -> dict[str, int]:
    """Return the index of each name's look: as `name_colours` gave them, and for others those that are left, in order."""
    names = list(names)
    taken = {_NAMED[name] for name in names if name in _NAMED}
    free = (index for index in count() if index not in taken)
    return {name: _NAMED[name] if name in _NAMED else next(free) for name in names}


def human(size: float) -> str:
    """Return a number of bytes in the unit that suits it, with three digits: "652 B", "204 kB", "1.63 MB", "330 MB"."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * one:
            return f"{size / one:.3g} {unit}" if size < 999.5 * one else f"{size / one:,.0f} {unit}"
    return f"{size:.0f} B"


def span(sizes: "Sequence[float]") -> str:
    """Return numbers of bytes as one, "204 kB", or from the least to the most, "60 kB to 1.2 MB"."""
    low, high = human(min(sizes)), human(max(sizes))
    return low if low == high else f"{low} to {high}"


def figure(title: str = "", x: str = "", y: str = "", size: tuple[float, float] = (6.4, 3.8)) -> "tuple[Figure, Axes]":
    """Return an empty figure in the house style and its axes; `size` in inches, at 100 dots an inch.

    It belongs to no window and no notebook backend, so it is shown once, by `show`, and never by accident.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {
            "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "font.size": 10,
            "axes.axisbelow": True, "figure.facecolor": "white", "axes.facecolor": "white",
        }
    ):  # fmt: skip
        made = Figure(figsize=size, dpi=_DPI, layout="constrained")
        axes = made.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return made, axes


@dataclass(frozen=True)
class Picture:
    """A figure with a summary in words, which is its alternative text. As the last line of a cell it shows itself."""

    figure: "Figure"
    summary: str

    def __post_init__(self) -> None:
        if not self.summary.strip():
            raise ValueError("a picture needs a summary: say in words what it shows")

    def png(self) -> bytes:
        """Return the figure as a PNG image."""
        buffer = io.BytesIO()
        # Without the software's version the same figure gives the same bytes.
        self.figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
        return buffer.getvalue()

    def html(self) -> str:
        """Return an `<img>` element that holds the image itself and the summary as alternative text."""
        data = base64.b64encode(self.png()).decode()
        return f'<img alt="{escape(self.summary)}" src="data:image/png;base64,{data}" style="max-width: 100%">'

    def show(self) -> None:
        """Show the image; outside a notebook, its summary."""
        if cards.in_notebook():
            cards.show(self.summary, self.html())
        else:
            cards.show(self.summary)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.summary, "text/html": self.html()}


def show(shown: "Figure", alt: str) -> None:
    """Show a figure of your own with its summary in words. Raises ValueError for an empty one."""
    Picture(shown, alt).show()


def picture(shown: Any) -> Picture:
    """Return a figure, or a pair (figure, summary), as a Picture; a bare figure is summed up by its titles and labels.

    Raises TypeError for anything else and ValueError for a figure without a word on it.
    """
    from matplotlib.figure import Figure

    if isinstance(shown, Picture):
        return shown
    if isinstance(shown, tuple) and len(shown) == 2 and isinstance(shown[0], Figure) and isinstance(shown[1], str):
        return Picture(*shown)
    if not isinstance(shown, Figure):
        raise TypeError(f"expected a Picture, a Figure, (Figure, summary) or text, got {type(shown).__name__}")
    words = [shown.get_suptitle()]
    for axes in shown.axes:
        words += [axes.get_title(), " against ".join(filter(None, [axes.get_ylabel(), axes.get_xlabel()]))]
    return Picture(shown, ". ".join(filter(None, words)))
