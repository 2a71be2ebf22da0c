"""The scoreboard: every statement on trial, and what the lessons found on it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from course_lib.classroom import cards
from course_lib.classroom.statements import STATEMENTS

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
    rows = stored()
    lines, body = [], []
    for number, text, tried in as_rows(rows):
        lines.append(f"{number:2}. {text}")
        lines += [f"    lesson {row.notebook[:2]}: {row.verdict}" for row in tried] or [f"    {UNTRIED}"]
        said = "<br>".join(f"lesson {row.notebook[:2]}: <b>{escape(row.verdict)}</b>" for row in tried)
        measured = "<br>".join(cards.markup(row.measured) for row in tried)
        cells = [str(number), escape(text), said or f"<i>{UNTRIED}</i>", measured]
        body.append("".join(f'<td style="text-align: left; vertical-align: top">{cell}</td>' for cell in cells))
    heads = "".join(f'<th style="text-align: left">{head}</th>' for head in ("", "statement", "verdict", "measured"))
    table = f"<table><thead><tr>{heads}</tr></thead><tbody><tr>{'</tr><tr>'.join(body)}</tr></tbody></table>"
    cards.show("\n".join(lines), table)
