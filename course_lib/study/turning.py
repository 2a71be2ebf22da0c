"""What turns a recommendation: the smallest changes of one answer, and how often each kind of question decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from course_lib.study.choosing import GRID, Recommendation, Row, Situation, nearest, recommend

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


def decided_by(table: Sequence[Row], within: Sequence[Situation], *, kept: bool = True) -> dict[str, float]:
    """Return for each group of DECIDES the share of the situations in which other answers to it alone change the recommended family.

    A family is DML, FL, a hybrid, leaderless or alone. `kept`: the measured task stays the one that is nearest to the situation, whatever is
    answered. Otherwise another size or skew may be nearer to another task, which differs from the first in more than that.
    """
    known: dict[tuple[str, Situation], str] = {}

    def family(situation: Situation, rows: Sequence[Row], task: str) -> str:
        if (task, situation) not in known:
            known[task, situation] = recommend(situation, rows).family
        return known[task, situation]

    found = dict.fromkeys(DECIDES, 0)
    for one in within:
        rows = nearest(one, table) if kept else table
        task = rows[0].task if kept else ""
        now = family(one, rows, task)
        for group, names in DECIDES.items():
            others = (replace(one, **{name: answer}) for name in names for answer in GRID[name])
            found[group] += any(family(other, rows, task) != now for other in others)
    return {group: count / len(within) for group, count in found.items()}


def _way(found: Recommendation) -> str:
    return found.row.way if found.row else "nothing measured"


def _place(value: Any, answers: Sequence[Any]) -> int:
    if value in answers:
        return answers.index(value)
    return min(range(len(answers)), key=lambda at: abs(answers[at] - value))
