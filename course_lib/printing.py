"""Text for a terminal that may know no symbols."""

import sys

# What is left of a sign where the terminal shows ASCII alone; any other sign becomes a question mark.
_IN_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "○": "o", "◐": "~", "→": "->", "±": "+-", "×": "x", "≤": "<=", "≥": ">=", "–": "-", "…": "..."}
)  # fmt: skip


def printable(text: str) -> str:
    """Return `text` as standard output can show it: under LC_ALL=C, printing a symbol would raise UnicodeEncodeError."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_IN_ASCII).encode(encoding, "replace").decode(encoding)
    return text
