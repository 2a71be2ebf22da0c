"""Which way to train, read off a table of measured rows: what the situation forbids is struck out, and of the rest the cheapest of the best is taken.

Nothing here prefers a way. A row is out where somebody would see what the situation does not allow, where the device cannot hold the
model, or where talking takes longer than there is time. Of the rows that are left the highest mean sets the mark; all that are no worse than
it by the ruler (paired by seed, a margin of one point) are as good, and of those the one that takes least time to talk is recommended. So no
row that was allowed is better by the ruler, by more than a point, than the one recommended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite, log, nan
from typing import Any, Literal, get_args

from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Device
from course_lib.learning import MARGIN, Finding, compare, interval

Records = Literal["stay", "stay in the group", "may move"]
Threat = Literal["nobody", "curious receivers", "published model", "hostile owners"]
Network = Literal["data centre", "offices", "phones"]
Hardware = Literal["server", "laptop", "phone", "sensor"]
Family = Literal["DML", "FL", "hybrid", "leaderless", "alone"]

# Orders of magnitude: 10 gigabit Ethernet in one room; links and delays of homes and of a phone network. Bytes and seconds.
NETWORKS: dict[str, tuple[Device, float]] = {
    "data centre": (Device("server", 5000, uplink=1.25e9, downlink=1.25e9), 5e-5), "offices": (LAPTOP, 0.02), "phones": (PHONE, 0.05),
}  # fmt: skip
MEMORY: dict[str, float] = {"server": 6.4e10, "laptop": LAPTOP.memory, "phone": OLD_PHONE.memory, "sensor": 2.56e5}
EPSILON = 3.0  # of a published model, at most
_BYTES, _COPIES = 4, 3  # of a weight; the weights, their gradients and what lies between
_TRAINS = {"FL", "leaderless", "alone"}  # where the owner's own device does


@dataclass(frozen=True)
class Row:
    """One measured way in one task.

    `scores`: in percent, one a seed, NaN for a run that broke. `sees`: whose raw records somebody else sees: "all", a "group" of owners', or
    "none". `receives`: what others get of an owner that sees none of its records: single "models", "sums" or "nothing"; noisy models with
    their `epsilon`. `attacked`: measured with a fifth of the owners hostile. `upload`, `download`: bytes over an owner's link in all, and
    `raw` says whether they are records; `rounds`: how often it waits for an answer. The task: `owners`, `records` (of the median owner),
    `skew` (0 to 1: how far an owner's shares of the classes are from everybody's) and `weights` of the model.
    """

    task: str
    way: str
    family: Family
    scores: tuple[float, ...]
    owners: int
    records: float
    skew: float
    weights: int
    upload: float
    download: float
    rounds: int
    sees: Literal["all", "group", "none"] = "none"
    receives: Literal["models", "sums", "nothing"] = "models"
    raw: bool = False
    attacked: bool = False
    epsilon: float | None = None
    source: str = ""

    @property
    def mean(self) -> float:
        """The mean over seeds, in percent; NaN where a run broke."""
        return sum(self.scores) / len(self.scores) if self.scores else nan


@dataclass(frozen=True)
class Situation:
    """What somebody who has to choose knows. The answers that GRID lists are what the form offers; numbers may be any.

    `records`: whether raw records must "stay", may move inside the owner's own "group", or "may move". `threat`: who is to be feared:
    "nobody", "curious receivers" (whoever gets something looks into it), a "published model" that outsiders question, or "hostile owners".
    `owners`, `held` (records of each), `skew` (0 to 1), `weights` (of the model). `hours`: how long talking may take in all.
    Raises ValueError, naming the value, for an answer that does not exist.
    """

    records: Records = "stay"
    threat: Threat = "nobody"
    network: Network = "offices"
    hardware: Hardware = "laptop"
    hours: float = 24.0
    owners: int = 20
    held: int = 400
    skew: float = 0.2
    weights: int = 10_000

    def __post_init__(self) -> None:
        choices = {"records": Records, "threat": Threat, "network": Network, "hardware": Hardware}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is no answer: choose one of {', '.join(map(repr, get_args(kind)))}"
                )
        for name, least in {"owners": 2, "held": 1, "weights": 1}.items():
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= least):
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        if not 0 <= self.skew <= 1:
            raise ValueError(
                f"skew={self.skew} must lie between 0 (all owners alike) and 1 (nobody has what another has)"
            )
        if not self.hours > 0:
            raise ValueError(f"hours={self.hours} must be above 0: the time in which all talking must be done")


# The answers that the form offers, each in order, so that the next one is the smallest change.
GRID: dict[str, tuple[Any, ...]] = {
    "records": get_args(Records), "threat": get_args(Threat), "network": get_args(Network), "hardware": get_args(Hardware),
    "hours": (0.001, 0.02, 1.0, 24.0), "owners": (5, 20, 100), "held": (25, 100, 500), "skew": (0.05, 0.2, 0.4),
    "weights": (1_000, 20_000, 1_000_000),
}  # fmt: skip


@dataclass(frozen=True)
class Considered:
    """A row of the nearest task with the seconds of talking, why it is out (empty where it is not), and how it compares with the
    best that is left: a Finding of "no worse"."""

    row: Row
    seconds: float
    out: str = ""
    against_best: Finding | None = None


@dataclass(frozen=True)
class Recommendation:
    """`row`: the row that is recommended, None where nothing measured is allowed; `considered`: all rows of the task it was read off."""

    situation: Situation
    row: Row | None
    task: str
    considered: tuple[Considered, ...]

    @property
    def family(self) -> str:
        """DML, FL, hybrid, leaderless or alone; "nothing measured" where no row is left."""
        return self.row.family if self.row else "nothing measured"

    def reasons(self) -> list[str]:
        """Return in words what was struck out and why, and what decided among the rest."""
        said = [f"The measured task that is nearest: {self.task}."]
        said += [f"{one.row.way}: out, {one.out}." for one in self.considered if one.out]
        left = [one for one in self.considered if not one.out]
        if self.row is None:
            return [*said, "No row is left: what you ask for was not measured here."]
        as_good = [one for one in left if one.against_best is not None and one.against_best.outcome == "holds"]
        best = max(left, key=lambda one: one.row.mean)
        said.append(f"Of what is left, {best.row.way} has the highest score, {best.row.mean:.1f}.")
        if len(as_good) > 1:
            named = ", ".join(one.row.way for one in as_good)
            said.append(
                f"No worse than that by the ruler, within a point: {named}. Of these, {self.row.way} talks least."
            )
        return said


def recommend(situation: Situation, table: Sequence[Row]) -> Recommendation:
    """Return the row that the table supports in this situation. Raises ValueError for an empty table."""
    rows = nearest(situation, table)
    considered = [Considered(row, seconds(row, situation), forbids(row, situation)) for row in rows]
    left = [one for one in considered if not one.out]
    if not left:
        return Recommendation(situation, None, rows[0].task, tuple(considered))
    best = max(left, key=lambda one: one.row.mean)
    judged = [one if one.out else replace(one, against_best=no_worse(one.row, best.row)) for one in considered]
    as_good = [one for one in judged if one.against_best is not None and one.against_best.outcome == "holds"]
    chosen = min(as_good, key=lambda one: (one.seconds, -one.row.mean))
    return Recommendation(situation, chosen.row, rows[0].task, tuple(judged))


def nearest(situation: Situation, table: Sequence[Row]) -> list[Row]:
    """Return the rows of the measured task that is most like the situation: owners, records and weights by their ratio, skew by its
    difference, each in the unit of one step of the form."""
    if not table:
        raise ValueError("the table has no rows: read one with course_lib.study.tables")

    def distance(row: Row) -> float:
        steps = [log(situation.owners / row.owners) / log(4.5), log(situation.held / row.records) / log(4.5),
                 log(situation.weights / row.weights) / log(30), (situation.skew - row.skew) / 0.17]  # fmt: skip
        return sum(step**2 for step in steps)

    tasks = {row.task: row for row in reversed(table)}
    task = min(tasks.values(), key=lambda row: (distance(row), row.task)).task
    return [row for row in table if row.task == task and all(map(isfinite, row.scores))]


def seconds(row: Row, situation: Situation) -> float:
    """Return how long an owner's link is busy in all, with the waiting for answers; messages grow with the model, moved records with
    their number."""
    device, latency = NETWORKS[situation.network]
    grows = situation.held / row.records if row.raw else situation.weights / row.weights
    return grows * (row.upload / device.uplink + row.download / device.downlink) + 2 * latency * row.rounds


def forbids(row: Row, situation: Situation) -> str:
    """Return why a row is out in a situation, in words; nothing where it is allowed."""
    if row.sees == "all" and situation.records != "may move":
        return "somebody would hold everybody's records"
    if row.sees == "group" and situation.records == "stay":
        return "a centre would hold its group's records"
    if situation.threat == "curious receivers" and row.sees == "none" and row.receives == "models" and not row.epsilon:
        return "others would see single models, which give records away"
    if situation.threat == "curious receivers" and row.sees != "none":
        return "others would see records"
    if situation.threat == "published model" and row.family != "alone" and not (row.epsilon and row.epsilon <= EPSILON):
        return f"the model is published without an epsilon of at most {EPSILON:g}"
    if (situation.threat == "hostile owners") != row.attacked and row.family != "alone":
        return "it was measured with hostile owners" if row.attacked else "it was not measured with hostile owners"
    if row.family in _TRAINS and _BYTES * _COPIES * situation.weights > MEMORY[situation.hardware]:
        return f"training the model does not fit into a {situation.hardware}'s memory"
    if seconds(row, situation) > 3600 * situation.hours:
        return f"talking would take {seconds(row, situation) / 3600:.2g} hours"
    return ""


@lru_cache(maxsize=4096)
def no_worse(row: Row, than: Row) -> Finding:
    """Return whether a row is no worse than another of its task, by the ruler: paired by seed, a margin of one point."""
    return compare(
        [score / 100 for score in row.scores], [score / 100 for score in than.scores], "no worse", margin=MARGIN
    )


def contradicted(found: Recommendation, table: Sequence[Row]) -> list[Row]:
    """Return the rows of the table that were allowed and are better by the ruler, by more than the margin, than what is recommended.

    An empty list is what every recommendation must give, and what a defence of one can be checked with.
    """
    if found.row is None:
        return [row for row in nearest(found.situation, table) if not forbids(row, found.situation)]
    return [
        row for row in nearest(found.situation, table) if not forbids(row, found.situation) and better(row, found.row)
    ]


@lru_cache(maxsize=4096)
def better(row: Row, than: Row) -> bool:
    """Say whether a row is better than another of its task by more than the margin, by the ruler."""
    found = compare(
        [score / 100 for score in row.scores], [score / 100 for score in than.scores], "better", margin=MARGIN
    )
    return found.outcome == "holds"


def said(row: Row) -> str:
    """Return a row's score in words, with its interval."""
    return f"{row.way} {interval(row.scores):.1f}"
