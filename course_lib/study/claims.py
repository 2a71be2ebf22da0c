"""The ledger: every statement on trial with what the course found on it, and the command that measures it again."""

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from math import nan
from typing import TYPE_CHECKING

from course_lib.study.statements import STATEMENTS

if TYPE_CHECKING:
    import pandas as pd

STORED = "classroom/studies/ledger.json"

_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?"
_MEASURED = re.compile(
    rf"(?P<value>{_NUMBER})(?: ± (?P<half>{_NUMBER})| \((?P<low>{_NUMBER}) to (?P<high>{_NUMBER})\))?"
)
_SETTING = re.compile(r"- (?P<setting>.*)\. (?P<outcome>Holds|Does not hold here|Cannot tell): (?P<rest>.*)")


@dataclass(frozen=True)
class Estimate:
    """What was measured in one setting, with its 95% interval or a stricter one; NaN for both ends where nothing was left to luck.

    `setting` is "" where there is but one. `words` is all that the card says: unit, claim, margin, what was repeated.
    """

    setting: str
    outcome: str
    value: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Claim:
    """One verdict: on which statement, in which lesson, what was measured, under which conditions, and how to measure it again."""

    statement: int
    lesson: str
    verdict: str
    measured: str
    conditions: str
    again: tuple[str, ...]

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The numbers behind the verdict, one a setting. Raises ValueError where the card gives none."""
        lines = [found for line in self.measured.split("\n") if (found := _SETTING.fullmatch(line))]
        if not lines:
            return (_estimate("", self.verdict, self.measured),)
        return tuple(_estimate(line["setting"], line["outcome"].lower(), line["rest"]) for line in lines)


def ledger() -> tuple[Claim, ...]:
    """Return all claims, by statement and lesson, as the stored notebooks show them."""
    text = files("course_lib").joinpath(STORED).read_text(encoding="utf-8")
    return tuple(Claim(**{**entry, "again": tuple(entry["again"])}) for entry in json.loads(text))


def table() -> "pd.DataFrame":
    """Return the ledger as a DataFrame, one row a setting: statement, lesson, verdict, setting, outcome, value, low, high (the interval; NaN
    for a fact without luck), measured (in words, with unit and margin), conditions and again (the commands)."""
    import pandas as pd

    return pd.DataFrame(
        {
            "statement": claim.statement, "lesson": claim.lesson, "verdict": claim.verdict, "setting": one.setting,
            "outcome": one.outcome, "value": one.value, "low": one.low, "high": one.high, "measured": one.words,
            "conditions": claim.conditions, "again": "; ".join(claim.again),
        }
        for claim in ledger() for one in claim.estimates
    )  # fmt: skip


def complaints(claims: tuple[Claim, ...]) -> list[str]:
    """Return what keeps these claims from being a ledger: a statement without a measurement, a claim without number or command."""
    found = []
    for number, text in STATEMENTS.items():
        if not any(claim.statement == number for claim in claims):
            found.append(f"statement {number} was not measured: {text}")
    for claim in claims:
        where = f"statement {claim.statement} in {claim.lesson}"
        if not claim.again:
            found.append(f"{where}: no command measures it again")
        try:
            claim.estimates  # noqa: B018 (reading them is the test)
        except ValueError as error:
            found.append(f"{where}: {error}")
    return found


def _estimate(setting: str, outcome: str, words: str) -> Estimate:
    found = _MEASURED.search(words)
    if found is None:
        raise ValueError(f"{words!r} holds no number: a verdict needs one")
    value, half, low, high = (_value(found[name]) for name in ("value", "half", "low", "high"))
    if found["half"]:
        low, high = value - half, value + half
    return Estimate(setting, outcome, value, low, high, words)


def _value(text: str | None) -> float:
    return float(text.replace(",", "")) if text else nan
