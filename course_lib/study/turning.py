"""What turns a recommendation: the smallest changes of one answer, and how often each kind of question decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from course_lib.study.choosing import GRID, Recommendation, Row, Situation, recommend

# What introductions say decides, and which answers that is.
DECIDES = {
    "scale": ("owners", "held", "weights"), "privacy": ("records", "threat"), "hardware": ("hardware",), "network": ("network", "hours"),
    "skew": ("skew",),
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One other answer, so many `steps` away on its list, that changes the recommendation `to` another way."""

    question: str
    answer: Any
    steps: int
    to: str


def changes(situation: Situation, table: Sequence[Row]) -> list[Change]:
    """Return every change of one answer, to another that GRID lists, that changes which way is recommended; the smallest first."""
    now = _way(recommend(situation, table))
    found = []
    for name, answers in GRID.items():
        at = _place(getattr(situation, name), answers)
        for place, answer in enumerate(answers):
            if answer == getattr(situation, name):
                continue
            then = _way(recommend(replace(situation, **{name: answer}), table))
            if then != now:
                found.append(Change(name, answer, max(1, abs(place - at)), then))
    return sorted(found, key=lambda change: (change.steps, list(GRID).index(change.question)))


def everywhere() -> Iterator[Situation]:
    """Yield every situation that the form can describe."""
    for answers in product(*GRID.values()):
        yield Situation(**dict(zip(GRID, answers, strict=True)))


def decided_by(table: Sequence[Row], within: Sequence[Situation]) -> dict[str, float]:
    """Return for each group of DECIDES the share of the situations in which other answers to it alone change the recommended way."""
    known: dict[Situation, str] = {}

    def way(situation: Situation) -> str:
        if situation not in known:
            known[situation] = _way(recommend(situation, table))
        return known[situation]

    found = {}
    for group, names in DECIDES.items():
        turned = [
            any(way(replace(one, **{name: answer})) != way(one) for name in names for answer in GRID[name])
            for one in within
        ]
        found[group] = sum(turned) / len(turned)
    return found


def _way(found: Recommendation) -> str:
    return found.row.way if found.row else "nothing measured"


def _place(value: Any, answers: Sequence[Any]) -> int:
    if value in answers:
        return answers.index(value)
    return min(range(len(answers)), key=lambda at: abs(answers[at] - value))
