"""The form of lesson 17: somebody answers nine questions, and a measured table answers which way to train, why, and what would change that."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from course_lib.classroom.explorers import Control
from course_lib.classroom.plots import COLOURS, Picture, figure

if TYPE_CHECKING:
    from course_lib.study.choosing import Recommendation, Row, Situation

# The questions as they stand in the form; answers in words where the values do not speak for themselves.
_QUESTIONS = {
    "records": "raw_records", "threat": "who_is_feared", "network": "network", "hardware": "device_of_an_owner", "hours": "time_to_talk",
    "owners": "owners", "held": "records_of_each", "skew": "how_owners_differ", "weights": "size_of_the_model",
}  # fmt: skip
_WORDS: dict[str, dict[str, Any]] = {
    "hours": {"4 seconds": 0.001, "a minute": 0.02, "an hour": 1.0, "a day": 24.0},
    "skew": {"hardly": 0.05, "somewhat": 0.2, "a lot": 0.4},
    "weights": {"1,000 weights": 1_000, "20,000 weights": 20_000, "a million weights": 1_000_000},
}
_REASON = 46  # characters of a reason that fit beside the chart; the summary has all of it
_LINE, _LINES = 104, 3  # characters and lines below the chart; always as many, for the axes to stay put


def form(table: "Sequence[Row]") -> tuple[Callable[..., Picture], dict[str, Control]]:
    """Return what `classroom.explore` takes: a function of nine answers that draws the rows it reasons from, and the menus.

    Every recommendation is read off the table on the spot.
    """
    from course_lib.study.choosing import GRID, Situation, recommend

    def choose(
        raw_records: str = "stay", who_is_feared: str = "nobody", network: str = "offices", device_of_an_owner: str = "laptop",
        time_to_talk: float = 24.0, owners: int = 20, records_of_each: int = 100, how_owners_differ: float = 0.2,
        size_of_the_model: int = 20_000,
    ) -> Picture:  # fmt: skip
        given: tuple[Any, ...] = (
            raw_records, who_is_feared, network, device_of_an_owner, time_to_talk, owners, records_of_each, how_owners_differ,
            size_of_the_model,
        )  # fmt: skip
        return drawn(recommend(Situation(**dict[str, Any](zip(_QUESTIONS, given, strict=True))), table), table)

    menus: dict[str, Control] = {
        asked: _WORDS.get(name) or {str(option): option for option in GRID[name]} for name, asked in _QUESTIONS.items()
    }
    return choose, menus


def drawn(found: "Recommendation", table: "Sequence[Row]") -> Picture:
    """Return a recommendation as a chart of the rows it was read off, with the reasons beside them and in the summary."""
    from course_lib.learning import interval

    tasks = [row.task for row in table]
    room = max(map(tasks.count, tasks))  # the same for every task, for the axes to stay put
    made, axes = figure(size=(8.2, 1.9 + 0.33 * room))
    for place, one in enumerate(found.considered):
        chosen, over = found.row == one.row, interval(one.row.scores, within=(0, 100))
        colour = COLOURS[2] if chosen else "0.7" if one.out else COLOURS[0]
        axes.errorbar(over.mean, place, xerr=[[over.mean - over.low], [over.high - over.mean]], fmt="*" if chosen else "x" if one.out else "o",
                      color=colour, markersize=13 if chosen else 6, capsize=4)  # fmt: skip
        axes.text(101, place, _beside(one, chosen), va="center", fontsize=8, color="black", clip_on=False)
    axes.set(xlim=(0, 100), ylim=(room - 0.4, -0.6))
    axes.set_yticks(range(len(found.considered)), [one.row.way for one in found.considered])
    axes.set_title(f"{headline(found)}. Nearest measured task: {found.task}", loc="left", fontsize=10)
    turns = minds(found, table)
    lines = wrap(turns, _LINE, max_lines=_LINES, placeholder=" …")
    axes.set_xlabel("score (%)")
    made.supxlabel("\n".join(lines + [""] * (_LINES - len(lines))), x=0.01, ha="left", fontsize=9, color="black")
    return Picture(made, "\n".join([_asked(found.situation), headline(found) + ".", *found.reasons(), turns]))


def headline(found: "Recommendation") -> str:
    """Return the recommendation in a few words."""
    return f"Recommended: {found.row.way}" if found.row else "Nothing that was measured is allowed here"


def minds(found: "Recommendation", table: "Sequence[Row]", most: int = 4) -> str:
    """Return in words the smallest changes of one answer that change the recommendation."""
    from course_lib.study.turning import changes

    turns = changes(found.situation, table)
    if not turns:
        return "No other answer to a single question would change this."
    said = "; ".join(f"{_asks(one.question)} {_word(one.question, one.answer)}: {one.to}" for one in turns[:most])
    more = f"; and {len(turns) - most} more" if len(turns) > most else ""
    return f"What would change it, the smallest changes first: {said}{more}."


def _beside(one: Any, chosen: bool) -> str:
    if chosen:
        return f"recommended, {_long(one.seconds)} of talking"
    if one.out:
        return f"out: {one.out}" if len(one.out) <= _REASON else f"out: {one.out[:_REASON]}…"
    outcome = {"holds": "as good", "does not hold here": "worse", "cannot tell": "as good? cannot tell"}[
        one.against_best.outcome
    ]
    return f"{outcome}, {_long(one.seconds)} of talking"


def _long(seconds: float) -> str:
    for unit, one in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= one:
            return f"{seconds / one:.2g} {unit}"
    return "no time" if not seconds else f"{1000 * seconds:,.0f} ms" if seconds >= 0.001 else "under 1 ms"


def _asked(situation: "Situation") -> str:
    return "Asked: " + ", ".join(f"{_asks(name)} {_word(name, getattr(situation, name))}" for name in _QUESTIONS) + "."


def _asks(name: str) -> str:
    return _QUESTIONS[name].replace("_", " ")


def _word(name: str, value: Any) -> str:
    words = {answer: said for said, answer in _WORDS.get(name, {}).items()}
    return words.get(value, f"{value:,}" if isinstance(value, int) else str(value))
