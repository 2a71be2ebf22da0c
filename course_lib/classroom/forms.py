"""Many guesses on one sheet: a menu a line, one button for all, and the score beside what was measured.

For guesses of one kind, such as what each of ten changes costs. A single question is `classroom.predict`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards, guesses, knobs
from course_lib.classroom.exercises import is_strict
from course_lib.classroom.tables import table

if TYPE_CHECKING:
    import ipywidgets

_UNSET = "choose ..."
# ipywidgets would cut a long line short. Here it goes on in the next row, and where the page is narrow the menu stands below it.
_LINE = "course-guess"
# What ipywidgets says of these is more specific than a class, hence !important.
_LOOK = (
    f"<style>.{_LINE} {{flex-wrap: wrap; align-items: center; height: auto !important}} .{_LINE} > label {{max-width: 100%; height: auto "
    "!important; white-space: normal !important; line-height: 1.4 !important; text-align: left !important} "
    f".{_LINE} > select {{flex: 1 1 14em; min-width: 0; min-height: 2em; margin: 2px 0}}</style>"
)


@dataclass
class Sheet:
    """Lines by name with their text, what each can be guessed to be, and the guesses that are locked in, by name."""

    key: str
    question: str
    lines: Mapping[str, str]
    choices: tuple[str, ...]
    guessed: dict[str, str] = field(default_factory=dict)

    def lock(self, chosen: Mapping[str, str]) -> None:
        """Keep these guesses, also for the next kernel. Raises ValueError for a line or a choice that there is not."""
        for name, choice in chosen.items():
            if name not in self.lines or choice not in self.choices:
                raise ValueError(
                    f"{name}: {choice!r} cannot be guessed; lines: {', '.join(self.lines)}; choices: {', '.join(self.choices)}"
                )
        self.guessed = dict(chosen)
        for name in self.lines:
            guesses.write(f"{self.key}/{name}", self.guessed.get(name))

    def kept(self) -> tuple[str, str]:
        """Return text and HTML that stay when the controls are gone."""
        listed = "\n".join(f"- {text}: {self.guessed.get(name, '...')}" for name, text in self.lines.items())
        how = "Locked in. Run this cell to guess again." if self.guessed else "Run this cell to make your guesses."
        said = f"Your guesses: {self.question} ({' / '.join(self.choices)})\n{listed}"
        return f"{cards.SYMBOLS['waiting']} {said}", cards.card("waiting", f"{said}\n{how}")


_asked: dict[str, Sheet] = {}


def predict_all(key: str, question: str, lines: Mapping[str, str], choices: Sequence[str]) -> None:
    """Ask for one of `choices` on each line, by name with its text, and keep the guesses under `key`.

    They start unset; the button locks in those that were chosen, if any. What was locked in before stays so, also after the kernel was
    restarted. Its output is the same on every machine. Raises ValueError for no line, or fewer than two different choices.
    """
    if not lines or len(set(choices)) < 2 or len(set(choices)) < len(choices):
        raise ValueError(
            f"the sheet {key!r} needs lines and two or more different choices, got {len(lines)} and {list(choices)}"
        )
    sheet = Sheet(key, question, dict(lines), tuple(choices))
    before = _asked[key].guessed if key in _asked else {name: guesses.read(f"{key}/{name}") for name in lines}
    known = {name: str(guess) for name, guess in before.items() if name in lines and guess in choices}
    if known:
        sheet.lock(known)
    _asked[key] = sheet
    form = Form(sheet)
    form.keep = knobs.show(form.panel, *sheet.kept(), name=question)


class Form:
    """The widgets of a sheet: a menu a line, a button that locks in what was chosen, and one to guess again."""

    def __init__(self, sheet: Sheet) -> None:
        import ipywidgets as widgets

        self.sheet = sheet
        self.keep: Any = lambda text, html: None
        wide = widgets.Layout(width="50em", max_width=knobs.WHOLE)
        self.menus = {
            name: widgets.Dropdown(
                options=[_UNSET, *sheet.choices], value=sheet.guessed.get(name, _UNSET), description=text, layout=wide,
                style={"description_width": "32em"},
            )
            for name, text in sheet.lines.items()
        }  # fmt: skip
        for menu in self.menus.values():
            menu.add_class(_LINE)
        self.button = widgets.Button(description="Lock in my guesses", button_style="primary")
        self.again = widgets.Button(description="Guess again")
        self.answer = widgets.HTML()
        self.button.on_click(self._lock)
        self.again.on_click(self._unlock)
        question = widgets.HTML(f"{_LOOK}<b>{cards.markup(sheet.question)}</b>")
        self.panel: ipywidgets.VBox = widgets.VBox(
            [question, *self.menus.values(), self.button, self.answer, self.again]
        )
        self._show()

    def _lock(self, _: Any) -> None:
        chosen = {name: menu.value for name, menu in self.menus.items() if menu.value != _UNSET}
        if not chosen:
            self.answer.value = cards.card("wrong", "Choose on one line at least.")
            return
        self.sheet.lock(chosen)
        self._show()

    def _unlock(self, _: Any) -> None:
        self.sheet.lock({})
        self._show()

    def _show(self) -> None:
        locked = bool(self.sheet.guessed)
        for widget in (*self.menus.values(), self.button):
            widget.disabled = locked
        self.again.layout.display = None if locked else "none"
        count = len(self.sheet.guessed)
        self.answer.value = (
            cards.card("right", f"Locked in: {count} of {len(self.menus)}. Now run on and see.") if locked else ""
        )
        self.keep(*self.sheet.kept())


def reveal_all(key: str, measured: Mapping[str, str], caption: str = "") -> None:
    """Show what was measured on each line beside the guess, and how many were right.

    `measured`: by line, one of the choices, or `learning.CANNOT_TELL`, which counts neither way. Raises ValueError for a line or a choice that
    there is not and, where solutions are tested, for a key that was never asked.
    """
    from course_lib.learning import CANNOT_TELL

    sheet = _asked.get(key)
    if sheet is None:
        if is_strict():
            raise ValueError(f"no sheet {key!r} was asked; asked so far: {', '.join(_asked) or 'none'}")
        return
    for name, found in measured.items():
        if name not in sheet.lines or found not in (*sheet.choices, CANNOT_TELL):
            raise ValueError(
                f"{name}: measured={found!r} is on no line, or none of the choices: {', '.join(sheet.choices)}"
            )
    told = {name: found for name, found in measured.items() if found != CANNOT_TELL and name in sheet.guessed}
    right = sum(sheet.guessed[name] == found for name, found in told.items())
    table(
        {
            sheet.lines[name]: {
                "you guessed": sheet.guessed.get(name, "nothing"), "measured": found,
                "": "" if name not in told else cards.SYMBOLS["right"] if sheet.guessed[name] == found else cards.SYMBOLS["wrong"],
            }
            for name, found in measured.items()
        },
        caption,
    )  # fmt: skip
    if not sheet.guessed:
        cards.show_card("told", "You locked in no guess this time; next time, commit before you look.")
        return
    kind = "right" if told and right == len(told) else "partly" if right else "told"
    cards.show_card(kind, f"{right} of {len(told)} guesses were right. What these runs cannot tell counts neither way.")
