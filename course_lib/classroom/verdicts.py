"""How a statement on trial came out: what was measured on it, and the outcome that the ruler computes from that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from course_lib.classroom import cards
from course_lib.classroom.estimates import span
from course_lib.study.statements import statement

if TYPE_CHECKING:
    from course_lib.learning import Finding

_CARDS = {"holds": "right", "holds if": "partly", "does not hold here": "wrong", "cannot tell": "open"}


def verdict(number: int, measured: "Finding | Mapping[str, Finding]", note: str = "") -> None:
    """Show a statement, what was measured on it, and what follows.

    `measured`: a finding of `learning.compare` and its siblings, or one for each setting: the statement holds if all of them
    do, holds in those settings that do, does not hold where none does and all can be told, and cannot be told otherwise.
    Settings are judged as `corrected` returns them: each of them is one more chance of a wrong word on the card.
    `note`: what was compared and under which conditions; a fixed text, for what is measured is in the findings.

    nbval compares the card with its measured numbers masked. Raises ValueError for an unknown number, nothing measured, or
    findings that cannot be corrected.
    """
    head = [f"Statement {number}. {statement(number)}", *([f"Compared: {note.rstrip('.')}."] if note else [])]
    if not isinstance(measured, Mapping):
        cards.show_card(
            _CARDS[measured.outcome], "\n".join([*head, f"Measured: {measured}", f"Verdict: {measured.outcome}."])
        )
        return
    if not measured:
        raise ValueError(f"say what was measured on statement {number}")
    findings = corrected(measured)
    kind, said = judge(findings)
    # The correction is said once for all settings, not on each line.
    rows = [(name, _capital(one.outcome), str(replace(one, among=1))) for name, one in findings.items()]
    tail = [*_correction(findings), f"Verdict: {said}."]
    listed = [f"- {name}. {outcome}: {number}" for name, outcome, number in rows]
    text = "\n".join([*head, "Measured:", *listed, *tail])
    items = "".join(
        f"<li>{cards.markup(name)}. <b>{outcome}</b>: {cards.markup(number)}</li>" for name, outcome, number in rows
    )
    above, below = cards.markup("\n".join([*head, "Measured:"])), cards.markup("\n".join(tail))
    html = f'{above}<ul style="margin: 0.2em 0; padding-left: 1.4em">{items}</ul>{below}'
    cards.show(f"{cards.SYMBOLS[_CARDS[kind]]} {text}", cards.frame(_CARDS[kind], html))


def corrected(findings: "Mapping[str, Finding]") -> "dict[str, Finding]":
    """Return the findings of one card with Holm's correction for as many as it shows, without those that leave nothing to luck.

    A finding that a table corrected before keeps whichever of the two levels is stricter: it is one claim in two families, and
    is not corrected twice. Raises ValueError for a share beside other findings, which `learning.holm` cannot correct.
    """
    from course_lib import learning

    varying = {name: finding for name, finding in findings.items() if not finding.fixed}
    if len(varying) < 2:
        return dict(findings)
    for name, finding in varying.items():
        if finding.counted:
            raise ValueError(f"{name!r} is a share, which cannot be corrected for the others: give it its own verdict")
    # What was corrected has lost its first level, which is the course's.
    once = {name: replace(one, level=0.95, among=1) if one.among > 1 else one for name, one in varying.items()}
    anew = learning.holm(once)
    stricter = {
        name: max(anew[name], one, key=lambda at: (round(at.level, 9), at.among)) for name, one in varying.items()
    }
    return {name: stricter.get(name, finding) for name, finding in findings.items()}


def judge(findings: "Mapping[str, Finding]") -> tuple[str, str]:
    """Return the kind of the verdict (one of "holds", "holds if", "does not hold here", "cannot tell") and its wording."""
    settings: dict[str, list[str]] = {}
    for name, finding in findings.items():
        settings.setdefault(finding.outcome, []).append(name)
    if len(settings) == 1:
        (only,) = settings
        return only, only
    # Semicolons: a setting's own name may have a comma in it.
    said = [
        f"{_capital(outcome)}: {'; '.join(settings[outcome])}"
        for outcome in ("does not hold here", "cannot tell")
        if outcome in settings
    ]
    if "holds" in settings:
        return "holds if", ". ".join([f"holds if: {'; '.join(settings['holds'])}", *said])
    return "cannot tell", ". ".join(["cannot tell in general", *said])


def _correction(findings: "Mapping[str, Finding]") -> list[str]:
    """Say for how many comparisons the findings were corrected, and at which levels their intervals are; nothing for one."""
    judged = [finding for finding in findings.values() if finding.among > 1]
    if not judged:
        return []
    low, high = (f"{100 * end(finding.level for finding in judged):.3g}%" for end in (min, max))
    levels = low if low == high else f"{low} to {high}"
    return [f"Corrected for {span({finding.among for finding in judged})} comparisons (Holm): intervals of {levels}."]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
