"""Guess first, then look: a prediction before the experiment, and its return beside the result."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards, guesses, knobs
from course_lib.classroom.exercises import is_strict

if TYPE_CHECKING:
    import ipywidgets

    from course_lib.learning import Finding, Interval

Slider = tuple[float, float, float, str]


@dataclass
class Prediction:
    """One question and, once it is locked in, the guess. Either `choices` or `slider` (low, high, step, unit) is set."""

    question: str
    choices: tuple[str, ...] = ()
    slider: Slider | None = None
    guess: str | float | None = None
    key: str = ""
    keep: Callable[[str, str], None] = lambda text, html: None

    def lock(self, guess: str | float) -> None:
        """Keep the guess, also for the next kernel. Raises ValueError for one that the question does not offer."""
        if self.choices and guess not in self.choices:
            raise ValueError(f"{guess!r} is not a choice; the choices are: {', '.join(self.choices)}")
        if self.slider and not self.slider[0] <= float(guess) <= self.slider[1]:
            raise ValueError(f"{guess!r} is off the scale from {self.slider[0]} to {self.slider[1]}")
        self.guess = guess
        guesses.write(self.key, guess)
        self.keep(*self.kept())

    def unlock(self) -> None:
        """Forget the guess."""
        self.guess = None
        guesses.write(self.key, None)
        self.keep(*self.kept())

    def offer(self) -> str:
        """Return what can be guessed, in words."""
        if self.slider:
            low, high, _, unit = self.slider
            return f"a number from {low:g} to {high:g} {unit}".rstrip()
        return " / ".join(self.choices)

    def locked(self) -> str:
        """Return the guess that is locked in, in words; nothing where there is none."""
        unit = self.slider[3] if self.slider else ""
        return "" if self.guess is None else f"Locked in: {_with_unit(self.guess, unit, 'g')}."

    def kept(self) -> tuple[str, str]:
        """Return text and HTML that stay when the controls are gone: the question and the guess, or how to make one."""
        symbol = cards.SYMBOLS["waiting"]
        how = f"{self.locked()} Run this cell to guess again." if self.locked() else "Run this cell to make your guess."
        text = f"{symbol} Your guess: {self.question} ({self.offer()}) {self.locked()}".rstrip()
        return text, cards.card("waiting", f"Your guess: {self.question}\n{self.offer()}\n{how}")


_asked: dict[str, Prediction] = {}


def predict(key: str, question: str, *, choices: Sequence[str] | None = None, slider: Slider | None = None) -> None:
    """Ask for a guess, with `choices` or a `slider` (low, high, step, unit), and keep it in the kernel under `key`.

    Its output is the same on every machine, so the cell needs no nbval tag. Raises ValueError for a question without
    exactly one of the two, fewer than two different choices, or a scale without room on it. A guess that was locked in
    before stays so, also after the kernel was restarted, until the learner asks to guess again.
    """
    if (choices is None) == (slider is None):
        raise ValueError(f"the prediction {key!r} needs either choices=[...] or slider=(low, high, step, unit)")
    if choices is not None and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise ValueError(f"the prediction {key!r} needs two or more different choices, got {list(choices)}")
    prediction = Prediction(question, tuple(choices or ()), slider, key=key)
    before = _asked[key].guess if key in _asked else guesses.read(key)
    if before is not None:
        with contextlib.suppress(ValueError, TypeError):  # the question has changed since: it is asked anew
            prediction.lock(before)
    _asked[key] = prediction
    prediction.keep = knobs.show(panel(prediction), *prediction.kept(), name=question)


def reveal(key: str, measured: "str | float | Interval | Finding", unit: str = "", spec: str = "g") -> None:
    """Show the guess kept under `key` beside what was measured.

    `measured`: a number, an interval or a finding for a guess on a scale (`unit` and `spec` say how numbers are shown; a finding
    knows); a choice, or `learning.CANNOT_TELL`, for a guess among choices: nobody is then told that they were wrong.

    nbval sees no guess, so its output is as repeatable as `measured`: tag the cell `nbval-ignore-output` where that number
    depends on the machine. Raises ValueError for a `measured` that is not among the choices and, where solutions are
    tested, for a key that was never asked.
    """
    from course_lib.learning import CANNOT_TELL, Finding

    prediction = _asked.get(key)
    if prediction is None and is_strict():
        raise ValueError(f"no prediction {key!r} was asked; asked so far: {', '.join(_asked) or 'none'}")
    if prediction is not None and prediction.choices and measured not in (*prediction.choices, CANNOT_TELL):
        raise ValueError(f"measured={measured!r} is not one of the choices of {key!r}: {', '.join(prediction.choices)}")
    if isinstance(measured, Finding):
        unit = measured.unit
    guess = prediction.guess if prediction else None
    shown = _measured(measured, unit, spec)
    if guess is None:
        advice = "You locked in no guess this time; next time, commit before you look."
        cards.show_card("told", f"Measured: {shown}. {advice}")
    elif isinstance(guess, str) or isinstance(measured, str):
        kind = "open" if measured == CANNOT_TELL else "right" if guess == measured else "partly"
        end = " These runs cannot decide it, so nobody guessed wrong." if measured == CANNOT_TELL else ""
        cards.show_card(kind, f"You guessed: {guess}. Measured: {shown}.{end}")
    else:
        guessed = _with_unit(guess, unit, spec)
        kind, distance = _distance(guess, measured, unit, spec)
        cards.show_card(kind, f"You guessed {guessed}. Measured: {shown}. {distance}")


def _measured(measured: "str | float | Interval | Finding", unit: str, spec: str) -> str:
    """Return what was measured, in words."""
    from course_lib.learning import Finding, Interval

    if isinstance(measured, Interval):
        return f"{measured:{spec}} {unit}".rstrip()
    return str(measured) if isinstance(measured, Finding) else _with_unit(measured, unit, spec)


def _distance(guess: float, measured: "float | Interval | Finding", unit: str, spec: str) -> tuple[str, str]:
    """Return the kind of card and a sentence on how far a guess is from what was measured."""
    from course_lib.learning import Finding, Interval

    found = measured.shown if isinstance(measured, Finding) else measured
    if found is None:
        return "open", "These runs cannot decide it, so nobody guessed wrong."
    if isinstance(found, Interval):
        if not found.excludes(guess):
            return "right", "Your guess lies inside the interval."
        nearest = found.low if guess < found.low else found.high
        return "told", f"You were {_with_unit(abs(guess - nearest), unit, '.2g')} outside the interval."
    return "told", f"You were {_with_unit(abs(guess - found), unit, spec)} away."


def panel(prediction: Prediction) -> "ipywidgets.VBox":
    """Return the widgets of a prediction: question, scale or choices, the buttons, and a line that confirms."""
    import ipywidgets as widgets

    scale: Any
    if prediction.slider:
        low, high, step, unit = prediction.slider
        scale = knobs.slider(
            low, high, step, low, description=unit, layout=widgets.Layout(width="28em", max_width=knobs.WHOLE)
        )
        scale.readout = False  # where the slider stands before it was moved is nobody's guess
    else:
        scale = widgets.RadioButtons(options=prediction.choices, value=None, layout=widgets.Layout(width="auto"))
    button = widgets.Button(description="Lock in my guess", button_style="primary")
    again = widgets.Button(description="Guess again")
    answer = widgets.HTML()
    touched = False

    def touch(_: Any) -> None:
        nonlocal touched
        touched = True
        if prediction.slider:
            scale.readout = True

    def show() -> None:
        locked = prediction.guess is not None
        scale.disabled = button.disabled = locked
        again.layout.display = None if locked else "none"
        answer.value = cards.card("right", f"{prediction.locked()} Now run on and see.") if locked else ""

    def lock(_: Any) -> None:
        if not touched or scale.value is None:
            answer.value = cards.card("wrong", "Move the slider first." if prediction.slider else "Choose one first.")
            return
        prediction.lock(scale.value)
        show()

    def unlock(_: Any) -> None:
        prediction.unlock()
        show()

    scale.observe(touch, names="value")
    if prediction.guess is not None:
        scale.value = prediction.guess
    button.on_click(lock)
    again.on_click(unlock)
    show()
    question = widgets.HTML(f"<b>{cards.markup(prediction.question)}</b>")
    return widgets.VBox([question, scale, button, answer, again])


def _with_unit(value: str | float, unit: str, spec: str) -> str:
    return value if isinstance(value, str) else f"{value:{spec}} {unit}".rstrip()
