"""The ledger as text: a page with every number, and for the README a line for each statement."""

from collections import Counter
from collections.abc import Sequence

from course_lib.classroom.ledger import UNTRIED, by_statement
from course_lib.study.claims import Claim, Estimate

PAGE = "docs/ledger.md"
_OUTCOMES = ("holds", "does not hold here", "cannot tell")


def scoreboard(claims: Sequence[Claim]) -> str:
    """Return the README's table: for each statement in how many settings it holds, and one example of either kind."""
    lines = [
        "| | statement | holds | does not hold here | cannot tell | for example | lessons |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, text, tried in by_statement(claims):
        found = [one for claim in tried for one in claim.estimates]
        counts = Counter(one.outcome for one in found)
        links = " ".join(f"[{claim.lesson[:2]}](notebooks/{claim.lesson}.ipynb)" for claim in tried)
        cells = [f"[{number}]({PAGE}#{number})", text, *(str(counts[outcome] or "") for outcome in _OUTCOMES)]
        cells += [_examples(found), links] if found else [f"*{UNTRIED}*", ""]
        lines.append(_row(cells))
    return "\n".join(lines)


def page(claims: Sequence[Claim]) -> str:
    """Return the page of all verdicts: every setting with outcome, number and interval, conditions, and what measures it again."""
    lines = [
        "# The ledger",
        "",
        "Every statement on trial, with what the lessons found. Written by `make ledger` from the verdicts that the notebooks store; a table",
        "of it in a notebook: `study.claims.table()`. How to read an interval, a margin and an outcome: [lesson 01](../notebooks/01_honest_accuracy.ipynb).",
    ]
    for number, text, tried in by_statement(claims):
        lines += ["", f"## {number}", "", f"**{text}**"]
        for claim in tried:
            lines += ["", *_verdict(claim)]
        if not tried:
            lines += ["", f"*{UNTRIED}*"]
    return "\n".join(lines) + "\n"


def _verdict(claim: Claim) -> list[str]:
    rows = [_row([one.setting, one.outcome, one.words]) for one in claim.estimates]
    remarks = (
        [line for line in claim.measured.split("\n") if not line.startswith("- ")] if claim.estimates[0].setting else []
    )
    again = ", ".join(f"`{command}`" for command in claim.again)
    return [
        f"[Lesson {claim.lesson[:2]}](../notebooks/{claim.lesson}.ipynb): {claim.conditions or 'as measured there.'}",
        "",
        "| setting | outcome | measured |",
        "|---|---|---|",
        *rows,
        "",
        " ".join([*remarks, f"Again: {again}."]),
    ]


def _examples(found: Sequence[Estimate]) -> str:
    """Return the first setting in which a statement holds and the first in which it does not, or else the first of all."""
    first = [next((one for one in found if one.outcome == outcome), None) for outcome in _OUTCOMES[:2]]
    told = [one for one in first if one is not None] or [found[0]]
    return "<br>".join(
        f"{one.outcome.capitalize()}: {': '.join(filter(None, [one.setting, one.words]))}" for one in told
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
