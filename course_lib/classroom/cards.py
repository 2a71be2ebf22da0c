"""The one way in which the classroom shows something: a bundle of HTML and its text twin."""

import re
import sys
from html import escape
from typing import Any

from course_lib.printing import printable

# Okabe and Ito's palette: told apart with every common kind of colour blindness. A symbol always goes with the colour.
COLOURS = {
    "right": "#009E73",
    "wrong": "#D55E00",
    "waiting": "#56B4E9",
    "partly": "#E69F00",
    "told": "#0072B2",
    "open": "#CC79A7",
}
SYMBOLS = {"right": "✓", "wrong": "✗", "waiting": "○", "partly": "◐", "told": "→", "open": "?"}


def in_notebook() -> bool:
    """Say whether a Jupyter kernel, rather than a script or a terminal, runs this."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None


def show(text: str, html: str | None = None, **others: Any) -> None:
    """Show `html` where the front end can, and `text` everywhere else. `others`: further MIME types, by name."""
    if not in_notebook():
        print(printable(text))
        return
    import IPython.display

    bundle = {"text/plain": text} | ({"text/html": html} if html else {}) | others
    IPython.display.display(bundle, raw=True)


def markup(text: str) -> str:
    """Return `text` as HTML: escaped, with `back-ticked` parts as code and line breaks kept."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False)).replace("\n", "<br>")


def card(kind: str, text: str) -> str:
    """Return an HTML card with the colour and the symbol of `kind`, one of COLOURS."""
    return frame(kind, markup(text))


def frame(kind: str, html: str) -> str:
    """Return HTML as a card with the colour and the symbol of `kind`, one of COLOURS."""
    # No background colour, and the symbol in the colour of the text: so the card reads well in light and in dark themes. A
    # widget would set its lines far apart.
    return (
        f'<div style="border-left: 5px solid {COLOURS[kind]}; padding: 0.4em 0.9em; margin: 0.3em 0; line-height: 1.5">'
        f'<b aria-hidden="true">{SYMBOLS[kind]}</b> {html}</div>'
    )


def show_card(kind: str, text: str) -> None:
    """Show `text` as a card; the text twin starts with the same symbol."""
    show(f"{SYMBOLS[kind]} {text}", card(kind, text))
