"""One row of the dial's study run again on the learner's computer: lesson 15's check on what is stored."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from course_lib.classroom import cards, knobs
from course_lib.classroom.progress import progress
from course_lib.study import dial
from course_lib.study.dial import Row, Table
from course_lib.study.dial.tasks import TASKS

# Those of which a run takes a few seconds at most.
LIVE = ("one_machine", "local_sgd", "diloco", "fedavg_iid", "fedavg_1", "fedavg_01", "fedadam_01", "partial", "eight_bits", "attacked",
        "defended", "hybrid", "gossip")  # fmt: skip


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
