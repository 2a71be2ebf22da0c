"""How a statement on trial came out: what was measured on it, and the outcome that the ruler computes from that."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from course_lib.classroom import cards
from course_lib.classroom.statements import statement

if TYPE_CHECKING:
    from course_lib.learning import Finding

_CARDS = {"holds": "right", "holds if": "partly", "does not hold here": "wrong", "cannot tell": "open"}


def verdict(number: int, measured: "Finding | Mapping[str, Finding]", note: str = "") -> None:
    """Show a statement, what was measured on it, and what follows.

    `measured`: a finding of `learning.compare` and its siblings, or one for each setting: the statement holds if all of them
    do, holds in those settings that do, does not hold where none does and all can be told, and cannot be told otherwise.
    `note`: what was compared and under which conditions; a fixed text, for what is measured is in the findings.

    nbval compares the card with its measured numbers masked. Raises ValueError for an unknown number, or nothing measured.
    """
    text = statement(number)
    if isinstance(measured, Mapping) and not measured:
        raise ValueError(f"say what was measured on statement {number}")
    kind, said = judge(measured)
    if isinstance(measured, Mapping):
        lines = ["Measured:", *(f"- {setting}: {finding}: {finding.outcome}" for setting, finding in measured.items())]
    else:
        lines = [f"Measured: {measured}"]
    compared = [f"Compared: {note.rstrip('.')}."] if note else []
    cards.show_card(
        _CARDS[kind], "\n".join([f"Statement {number}. {text}", *compared, *lines, f"Verdict: {said}."])
    )  # fmt: skip


def judge(measured: "Finding | Mapping[str, Finding]") -> tuple[str, str]:
    """Return the kind of the verdict (one of "holds", "holds if", "does not hold here", "cannot tell") and its wording."""
    if not isinstance(measured, Mapping):
        return measured.outcome, measured.outcome
    by_outcome: dict[str, list[str]] = {}
    for setting, finding in measured.items():
        by_outcome.setdefault(finding.outcome, []).append(setting)
    if len(by_outcome) == 1:
        (only,) = by_outcome
        return only, only
    if "holds" not in by_outcome:
        return "cannot tell", f"cannot tell ({_rest(by_outcome)})"
    return "holds if", f"holds if: {', '.join(by_outcome.pop('holds'))} ({_rest(by_outcome)})"


def _rest(by_outcome: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{said}: {', '.join(settings)}" for said, settings in by_outcome.items())
