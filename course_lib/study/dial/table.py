"""The stored study of the dial as a table: every stop with its interval, its distance from DDP and its price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from course_lib.learning import Finding, Interval, compare, holm, interval
from course_lib.learning.finding import Claim
from course_lib.study.dial.tasks import TASKS

BUDGETS = ("bytes", "datacentre", "office", "phones")
GRADIENTS = "gradients"  # the runs themselves: every stop computes as many
SAID = {
    GRADIENTS: "equal gradients", "bytes": "equal bytes", "datacentre": "equal time in a data centre",
    "office": "equal time between offices", "phones": "equal time between phones",
}  # fmt: skip
REFERENCE = "ddp"


@dataclass(frozen=True)
class Row:
    """One stop on one data set. `runs`: what is noted of each seed, see `study.dial.runs.noted`, with `at`: its score at each budget.

    `versus`: the stop of which one answer is changed here. `saw`: what a server sees. `rate`, `knob`: as tuned for the whole run.
    """

    data: str
    stop: str
    title: str
    family: str
    versus: str
    turned: str
    saw: str
    skew: str
    participants: int
    rounds: int
    rate: float
    knob: float | None
    seeds: tuple[int, ...]
    runs: tuple[Mapping[str, Any], ...]

    def scores(self, budget: str = GRADIENTS) -> dict[int, float]:
        """Return the score of each seed, 0 to 1, at a budget; NaN for a run that broke. Under attack, that one answers by chance."""
        own = [float(run["score"] if budget == GRADIENTS else run["at"][budget]) for run in self.runs]
        if self.family == "attacked":  # to break the run is what the attacker wants
            own = [value if isfinite(value) else TASKS[self.data].chance for value in own]
        return dict(zip(self.seeds, own, strict=True))

    def interval(self, budget: str = GRADIENTS) -> Interval:
        """Return the mean score over the seeds that did not break, with its 95% interval."""
        return interval([value for value in self.scores(budget).values() if isfinite(value)], within=(0, 1))

    def mean(self, measure: str, inside: str | None = None) -> float | None:
        """Return the mean of a measure over the runs that have it, such as "bytes_per_participant", or "phones" inside "seconds"."""
        found = [run.get(measure) for run in self.runs]
        values = [own[inside] if inside and own else own for own in found]
        known = [float(value) for value in values if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def broke(self) -> int:
        """How many runs ended without finite weights."""
        return sum(bool(run["broken"]) for run in self.runs)

    @property
    def epsilon(self) -> float | None:
        """Epsilon of the whole run; None where nothing is promised."""
        return self.mean("epsilon")

    @property
    def promise(self) -> str:
        """Epsilon with its unit and its delta; empty where nothing is promised."""
        told = next((run for run in self.runs if run.get("epsilon") is not None), None)
        return f"epsilon {told['epsilon']:.3g} for one {told['unit']}, delta {told['delta']:.2g}" if told else ""


@dataclass(frozen=True)
class Table:
    """All rows, in the order in which the dial is turned."""

    rows: tuple[Row, ...]
    budgets: Mapping[str, Mapping[str, float]]

    def of(self, data: str) -> dict[str, Row]:
        """Return the rows of a data set, by stop. Raises ValueError, naming what there is, for another."""
        found = {row.stop: row for row in self.rows if row.data == data}
        if not found:
            raise ValueError(
                f"no data {data!r} in the study; there are: {', '.join(dict.fromkeys(row.data for row in self.rows))}"
            )
        return found

    def row(self, data: str, stop: str) -> Row:
        """Return one row. Raises ValueError, naming what there is, for another stop."""
        found = self.of(data)
        if stop not in found:
            raise ValueError(f"no stop {stop!r} for {data!r}; there are: {', '.join(found)}")
        return found[stop]

    def idle(self, data: str, budget: str) -> frozenset[str]:
        """Return the stops of distributed training that a budget does not pay for a single step: moving the data takes it all.

        They end at the untrained model, so at the same score on every seed, which differs from seed to seed as the first weights do. (Models
        that name the most frequent class whatever they see agree, too, but on nearly one score for all seeds.)
        """
        by_scores: dict[tuple[float, ...], list[str]] = {}
        for stop, row in self.of(data).items():
            if row.family == "central":
                by_scores.setdefault(tuple(row.scores(budget).values()), []).append(stop)
        return frozenset(
            stop for own, same in by_scores.items() if len(same) > 1 and len(set(own)) > len(own) / 2 for stop in same
        )

    def compare(
        self, data: str, stop: str, against: str = REFERENCE, claim: Claim = "equal", budget: str = GRADIENTS
    ) -> Finding:
        """Judge a claim about the score of a stop less that of another, paired by seed; alone, without correction."""
        first, second = self.row(data, stop), self.row(data, against)
        return compare(first.scores(budget), second.scores(budget), claim)

    def differences(
        self, data: str, against: str = REFERENCE, claim: Claim = "equal", budget: str = GRADIENTS
    ) -> dict[str, Finding]:
        """Judge every other stop against one, with Holm's correction for all of them: what one table shows."""
        return holm(
            {stop: self.compare(data, stop, against, claim, budget) for stop in self.of(data) if stop != against}
        )


def read(study: Mapping[str, Any]) -> Table:
    """Return the table of a stored study, such as `classroom.stored("dial")`."""
    return Table(tuple(_row(each) for each in study["rows"]), study["budgets"])


def _row(stored: Mapping[str, Any]) -> Row:
    names: Sequence[str] = (
        "data", "stop", "title", "family", "versus", "turned", "saw", "skew", "participants", "rounds", "rate", "knob",
    )  # fmt: skip
    return Row(**{name: stored[name] for name in names}, seeds=tuple(stored["seeds"]), runs=tuple(stored["runs"]))
