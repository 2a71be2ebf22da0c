"""The ledger as a table on the page: every statement on trial, and what the lessons found on it."""

from collections.abc import Iterable, Iterator
from html import escape

from course_lib.classroom import cards
from course_lib.classroom.tables import scrolling
from course_lib.study import claims
from course_lib.study.claims import Claim
from course_lib.study.statements import STATEMENTS

UNTRIED = "not tried yet"


def by_statement(found: Iterable[Claim]) -> Iterator[tuple[int, str, list[Claim]]]:
    """Yield each statement's number and text with the claims on it, an empty list where no lesson has tried it yet."""
    found = list(found)
    for number, text in STATEMENTS.items():
        yield number, text, [claim for claim in found if claim.statement == number]


def ledger() -> None:
    """Show all statements with the verdicts of the lessons, what was measured, and what measures it again."""
    lines, body = [], []
    for number, text, tried in by_statement(claims.ledger()):
        lines.append(f"{number:2}. {text}")
        lines += [f"    lesson {claim.lesson[:2]}: {claim.verdict}" for claim in tried] or [f"    {UNTRIED}"]
        found = [_cells(claim) for claim in tried]
        across = f' rowspan="{len(found)}"' if len(found) > 1 else ""
        first = _cell(str(number), across) + _cell(escape(text), across)
        for position, cells in enumerate(found or [("", f"<i>{UNTRIED}</i>", "", "")]):
            body.append(("" if position else first) + "".join(map(_cell, cells)))
    heads = ("", "statement", "lesson", "verdict", "measured", "again")
    head = "".join(f'<th scope="col" style="text-align: left">{name}</th>' for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody><tr>{'</tr><tr>'.join(body)}</tr></tbody></table>"
    cards.show("\n".join(lines), scrolling(table, "Ledger"))


def _cells(claim: Claim) -> tuple[str, str, str, str]:
    listed = "<br>".join(cards.markup(line.removeprefix("- ")) for line in claim.measured.split("\n"))
    commands = "<br>".join(f"<code>{escape(command)}</code>" for command in claim.again)
    return claim.lesson[:2], f"<b>{escape(claim.verdict)}</b>", listed, commands


def _cell(html: str, more: str = "") -> str:
    return f'<td{more} style="text-align: left; vertical-align: top">{html}</td>'
