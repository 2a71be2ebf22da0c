"""The scoreboard: every statement on trial, and what the lessons found on it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from course_lib.classroom import cards
from course_lib.classroom.statements import STATEMENTS
from course_lib.classroom.tables import scrolling

STORED = "studies/scoreboard.json"
UNTRIED = "not tried yet"


@dataclass(frozen=True)
class Row:
    """One verdict: on which statement, in which notebook, how it came out, what was measured, and what was compared."""

    statement: int
    notebook: str
    verdict: str
    measured: str
    compared: str


def stored() -> list[Row]:
    """Return the verdicts of all lessons, as their stored notebooks show them."""
    text = files("course_lib.classroom").joinpath(STORED).read_text(encoding="utf-8")
    return [Row(**entry) for entry in json.loads(text)]


def as_rows(rows: list[Row]) -> Iterator[tuple[int, str, list[Row]]]:
    """Yield each statement's number and text with the verdicts on it, an empty list where no lesson has tried it yet."""
    for number, text in STATEMENTS.items():
        yield number, text, [row for row in rows if row.statement == number]


def scoreboard() -> None:
    """Show all statements with the verdicts of the lessons; those that no lesson has tried yet say so."""
    lines, body = [], []
    for number, text, tried in as_rows(stored()):
        lines.append(f"{number:2}. {text}")
        lines += [f"    lesson {row.notebook[:2]}: {row.verdict}" for row in tried] or [f"    {UNTRIED}"]
        found = [(row.notebook[:2], f"<b>{escape(row.verdict)}</b>", _listed(row.measured)) for row in tried]
        across = f' rowspan="{len(found)}"' if len(found) > 1 else ""
        first = _cell(str(number), across) + _cell(escape(text), across)
        for position, cells in enumerate(found or [("", f"<i>{UNTRIED}</i>", "")]):
            body.append(("" if position else first) + "".join(map(_cell, cells)))
    heads = ("", "statement", "lesson", "verdict", "measured")
    head = "".join(f'<th scope="col" style="text-align: left">{name}</th>' for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody><tr>{'</tr><tr>'.join(body)}</tr></tbody></table>"
    cards.show("\n".join(lines), scrolling(table, "Scoreboard"))


def _listed(measured: str) -> str:
    return "<br>".join(cards.markup(line.removeprefix("- ")) for line in measured.split("\n"))


def _cell(html: str, more: str = "") -> str:
    return f'<td{more} style="text-align: left; vertical-align: top">{html}</td>'
