"""What lesson 15 says and does with the stored study of the dial: guesses, findings in words, and one row run again."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from course_lib.classroom import cards, knobs
from course_lib.classroom.plots.dials import BETTER_THAN, OPEN, SAME_AS, WORSE, kind
from course_lib.classroom.progress import progress
from course_lib.learning import CANNOT_TELL, Finding
from course_lib.study import dial
from course_lib.study.dial import Row, Table
from course_lib.study.dial.stops import ANSWERING
from course_lib.study.dial.table import REFERENCE, SAID
from course_lib.study.dial.tasks import TASKS

# What a change can do to accuracy, for guesses; the first where the whole interval lies within the margin.
SAME, BETTER, SOME, MUCH = (
    "within a point",
    "more than a point better",
    "1 to 10 points worse",
    "more than 10 points worse",
)
CHOICES = (SAME, BETTER, SOME, MUCH)
_MUCH = 10.0  # points

# The stops that are guessed at, each against the stop of which it changes one answer.
GUESSED = {
    "ddp": "20 workers share each step (against one machine)",
    "local_sgd": "they talk once a pass, not every step (against DDP)",
    "fedavg_iid": "FedAvg: the data stays, clients are alike (against DDP)",
    "fedavg_1": "FedAvg: clients are uneven, Dirichlet 1 (against alike)",
    "fedavg_01": "FedAvg: clients are lopsided, Dirichlet 0.1 (against Dirichlet 1)",
    "partial": "half are asked, a fifth drop out (against FedAvg at Dirichlet 1)",
    "eight_bits": "updates in 8 bits (against FedAvg at Dirichlet 1)",
    "secure": "updates are masked (against FedAvg at Dirichlet 1)",
    "example_8": "noise hides each image, epsilon 8 (against the same steps without)",
    "user_8": "noise hides each of 20 clients, epsilon 8 (against FedAvg at Dirichlet 1)",
    "attacked": "4 of 20 send poison, undefended (against FedAvg at Dirichlet 1)",
    "hybrid": "4 silos, DDP inside, FedAvg across (against FedAvg at Dirichlet 1)",
}
_AGAINST = {"fedavg_iid": "ddp"}

# Those of which a run takes a few seconds at most.
LIVE = ("one_machine", "local_sgd", "diloco", "fedavg_iid", "fedavg_1", "fedavg_01", "fedadam_01", "partial", "eight_bits", "attacked",
        "defended", "hybrid", "gossip")  # fmt: skip


def against(row: Row) -> str:
    """Return the stop that a guess about this one compares with."""
    return _AGAINST.get(row.stop, row.versus)


def outcome(finding: Finding) -> str:
    """Return which of CHOICES a difference is, or that it cannot be told. `finding`: of the claim that the two are equal.

    Of a loss that can be told from none, the mean says whether it is above ten points.
    """
    if finding.outcome == "holds":
        return SAME
    shown = finding.shown
    if finding.outcome == CANNOT_TELL or shown is None:
        return CANNOT_TELL
    if shown.mean > 0:
        return BETTER
    return MUCH if shown.mean < -_MUCH else SOME


def turned(table: Table, data: str = "images") -> dict[str, str]:
    """Return what each guessed stop does against the one before it, in the words of CHOICES; Holm's correction for all of them."""
    from course_lib.learning import holm

    findings = holm({stop: table.compare(data, stop, against(table.row(data, stop))) for stop in GUESSED})
    return {stop: outcome(found) for stop, found in findings.items()}


def points(finding: Finding) -> str:
    """Return a difference in points, or that it cannot be told, as a sentence quotes it."""
    shown = finding.shown
    if shown is None:
        return "too few runs left"
    return f"{shown.mean:+.1f} points" + (" (cannot tell)" if finding.outcome == CANNOT_TELL else "")


# What a sentence is about: federated learning without noise or attack, and the other ways without a pool of all data.
_FEDERATED = (
    "fedavg_iid",
    "fedavg_1",
    "fedavg_01",
    "fedadam_01",
    "partial",
    "eight_bits",
    "secure",
    "hybrid",
    "gossip",
)
NAMES = {"images": "digits", "tabular": "payments", "text": "keyboard"}


def findings(table: Table) -> dict[str, str]:
    """Return what the table says, the least expected first: a heading and a sentence each, computed from the stored runs.

    "As good", "better" and "worse" are those of the figure: the whole interval of the difference from DDP, with Holm's correction.
    """
    return {
        "Where FL is ahead of DML": _ahead(table),
        "Where FL is as good, for as many gradients": _by_kind(table, SAME_AS, "nowhere"),
        "Where it falls behind": _by_kind(table, WORSE, "nowhere"),
        "What bad links cost": _links(table),
        "What privacy costs": _privacy(table),
        "What an attack costs, and a defence": _attack(table),
        "What nobody can tell": _by_kind(table, OPEN, "nothing", stops=None),
    }


def _ahead(table: Table) -> str:
    said = []
    for budget in ("bytes", "phones", "datacentre"):
        found = {name: table.differences(name, budget=budget) for name in NAMES}
        listed = [f"{NAMES[name]} {points(own['fedavg_1'])}" for name, own in found.items()]
        won = sum(sum(kind(own[stop]) == BETTER_THAN for stop in _FEDERATED) for own in found.values())
        said.append(f"{SAID[budget].capitalize()}, FedAvg on uneven clients against DDP: {', '.join(listed)}; of {3 * len(_FEDERATED)} such "
                    f"comparisons {won} are won.")  # fmt: skip
    return " ".join(said) + f" At equal gradients: {_by_kind(table, BETTER_THAN, 'nowhere')}"


def _by_kind(table: Table, which: str, none: str, stops: tuple[str, ...] | None = _FEDERATED) -> str:
    parts = []
    for name, words in NAMES.items():
        rows = table.of(name)
        own = [
            f"{rows[stop].title} ({points(found)})" if which == WORSE else rows[stop].title
            for stop, found in table.differences(name).items() if (stops is None or stop in stops) and kind(found) == which
        ]  # fmt: skip
        parts.append(f"{words}: {'; '.join(own) or none}")
    return ". ".join(parts) + "."


def _lost(table: Table, name: str, stop: str, against: str) -> str:
    return points(table.compare(name, stop, against))


def _links(table: Table) -> str:
    each = [f"{words} {_lost(table, name, 'partial', 'fedavg_1')}" for name, words in NAMES.items()]
    return (
        f"Half of the clients are asked and a fifth of those drop out, so as many gradients take {1 / ANSWERING:g} times the rounds. Against "
        f"FedAvg in which all answer: {', '.join(each)}. More talks for as much work can be worth more than everybody's answer."
    )


def _privacy(table: Table) -> str:
    parts = []
    for name, words in NAMES.items():
        each = [
            f"epsilon {epsilon}: {_lost(table, name, f'example_{epsilon}', 'example_off')}" for epsilon in (8, 3, 1)
        ]
        parts.append(f"{words}, {', '.join(each)}")
    few, many = _lost(table, "images", "user_8", "fedavg_1"), _lost(table, "images", "crowd_user_8", "crowd")
    return (
        f"To hide one example, against the same steps without noise: {'; '.join(parts)}. To hide one client at epsilon 8, digits: {few} among 20 clients, "
        f"{many} among 200."
    )


def _attack(table: Table) -> str:
    parts = []
    for name, words in NAMES.items():
        broke = table.row(name, "attacked").broke
        lost = _lost(table, name, "attacked", "fedavg_1") + (f" ({broke} runs broke)" if broke else "")
        parts.append(f"{words}: undefended {lost}, with multi-Krum {_lost(table, name, 'defended', 'fedavg_1')}")
    return f"A fifth of the clients send their update turned round and five times as long. Against FedAvg in peace, {'; '.join(parts)}."


class Live:
    """One row, one seed, run again on this computer, and whether it falls inside what is stored."""

    def __init__(self, table: Table, data: str) -> None:
        self.table, self.data = table, data

    def run(self, stop: str) -> str:
        """Run a stop's first seed again, with a progress bar, and return what came out in words."""
        row = self.table.row(self.data, stop)
        bar = progress(label=f"{row.title}, seed {row.seeds[0]}")
        again = dial.measure(dial.Job(self.data, stop, row.rate, row.knob, row.seeds[0]), bar)
        return self.said(row, again)

    def said(self, row: Row, again: Mapping[str, Any]) -> str:
        """Return in words whether a new run of the first seed falls inside the range of the stored runs."""
        values = [value for value in row.scores().values() if isfinite(value)]
        seed, score = row.seeds[0], again["score"]
        spread, stored = row.interval(), row.scores()[row.seeds[0]]
        inside = min(values) <= score <= max(values)
        measure = "accuracy" if TASKS[self.data].score == "accuracy" else "PR-AUC"
        return (
            f"{row.title}, seed {seed}: stored {stored:.1%}, now {score:.1%}. All stored seeds: {measure} {spread:.1%}, single runs from "
            f"{min(values):.1%} to {max(values):.1%}. The new run lies {'inside' if inside else 'OUTSIDE'} that range."
        )


def rerun(table: Table, data: str = "images", start: str = "fedavg_1") -> None:
    """Run one row again, and show a menu and a button to choose another: learners pick the row that they trust least.

    Tag the cell `nbval-ignore-output`: the numbers depend on the processor.
    """
    live = Live(table, data)
    first = live.run(start)
    show = Panel(live, start, first)
    knobs.show(show.panel, first, cards.card("told", f"{first} Run this cell to choose another row."))


class Panel:
    """The menu, the button and the answer of `rerun`."""

    def __init__(self, live: Live, start: str, first: str) -> None:
        import ipywidgets as widgets

        self.live = live
        options = [(live.table.row(live.data, stop).title, stop) for stop in LIVE]
        self.menu = widgets.Dropdown(
            options=options, value=start, description="row", layout=widgets.Layout(width="32em", max_width=knobs.WHOLE)
        )  # fmt: skip
        self.button = widgets.Button(description="Run it again", button_style="primary")
        self.bar = widgets.IntProgress(
            value=0, max=1, description="rounds", layout=widgets.Layout(width="32em", max_width=knobs.WHOLE)
        )
        self.answer = widgets.HTML(cards.card("told", first))
        self.button.on_click(self.again)
        self.panel = widgets.VBox([self.menu, self.button, self.bar, self.answer])

    def again(self, _: Any = None) -> None:
        """Run the chosen row again and say what came out; whatever goes wrong is shown, since a widget would swallow it."""

        def advance(done: int, of: int) -> None:
            self.bar.max, self.bar.value = of, done

        row = self.live.table.row(self.live.data, self.menu.value)
        self.button.disabled = True
        try:
            found = dial.measure(dial.Job(self.live.data, row.stop, row.rate, row.knob, row.seeds[0]), advance)
            self.answer.value = cards.card("told", self.live.said(row, found))
        except Exception as error:  # noqa: BLE001 - a widget swallows whatever its callback raises
            self.answer.value = cards.card("wrong", f"This row does not run here: {type(error).__name__}: {error}")
        finally:
            self.button.disabled = False


__all__ = [
    "CHOICES",
    "GUESSED",
    "NAMES",
    "REFERENCE",
    "SAID",
    "Live",
    "Panel",
    "against",
    "findings",
    "outcome",
    "points",
    "rerun",
    "turned",
]
