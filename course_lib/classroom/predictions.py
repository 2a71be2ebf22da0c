"""Guess first, then look: a prediction before the experiment, and its return beside the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards
from course_lib.classroom.exercises import is_strict

if TYPE_CHECKING:
    import ipywidgets

Slider = tuple[float, float, float, str]


@dataclass
class Prediction:
    """One question and, once it is locked in, the guess. Either `choices` or `slider` (low, high, step, unit) is set."""

    question: str
    choices: tuple[str, ...] = ()
    slider: Slider | None = None
    guess: str | float | None = None

    def lock(self, guess: str | float) -> None:
        """Store the guess. Raises ValueError for one that the question does not offer."""
        if self.choices and guess not in self.choices:
            raise ValueError(f"{guess!r} is not a choice; the choices are: {', '.join(self.choices)}")
        if self.slider and not self.slider[0] <= float(guess) <= self.slider[1]:
            raise ValueError(f"{guess!r} is off the scale from {self.slider[0]} to {self.slider[1]}")
        self.guess = guess

    def offer(self) -> str:
        """Return what can be guessed, in words."""
        if self.slider:
            low, high, _, unit = self.slider
            return f"a number from {low:g} to {high:g} {unit}".rstrip()
        return " / ".join(self.choices)


_asked: dict[str, Prediction] = {}


def predict(
    key: str, question: str, *, choices: Sequence[str] | None = None, slider: Slider | None = None
) -> None:  # fmt: skip
    """Ask for a guess, with `choices` or a `slider` (low, high, step, unit), and keep it in the kernel under `key`.

    Its output is the same on every machine, so the cell needs no nbval tag. Raises ValueError for a question without
    exactly one of the two, fewer than two different choices, or a scale without room on it.
    """
    if (choices is None) == (slider is None):
        raise ValueError(f"the prediction {key!r} needs either choices=[...] or slider=(low, high, step, unit)")
    if choices is not None and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise ValueError(f"the prediction {key!r} needs two or more different choices, got {list(choices)}")
    if slider is not None and not (slider[0] < slider[1] and 0 < slider[2] <= slider[1] - slider[0]):
        raise ValueError(f"the prediction {key!r} needs low < high and a step between, got {slider}")
    prediction = _asked[key] = Prediction(question, tuple(choices or ()), slider)
    text = f"{cards.SYMBOLS['waiting']} Your guess: {question} ({prediction.offer()})"
    html = cards.card("waiting", f"Your guess: {question}\n{prediction.offer()}\nRun this cell to make your guess.")
    if cards.in_notebook():
        cards.show(text, html, **view(panel(prediction)))
    else:
        cards.show(text)


def reveal(key: str, measured: str | float, unit: str = "", spec: str = "g") -> None:
    """Show the guess kept under `key` beside what was measured; `spec` formats both, where they are numbers.

    nbval sees no guess, so its output is as repeatable as `measured`: tag the cell `nbval-ignore-output` where that number
    depends on the machine. Where solutions are tested, an unknown key raises ValueError.
    """
    prediction = _asked.get(key)
    if prediction is None and is_strict():
        raise ValueError(f"no prediction {key!r} was asked; asked so far: {', '.join(_asked) or 'none'}")
    if prediction is not None and prediction.choices and measured not in prediction.choices:
        raise ValueError(f"measured={measured!r} is not one of the choices of {key!r}: {', '.join(prediction.choices)}")
    guess = prediction.guess if prediction else None
    shown = _with_unit(measured, unit, spec)
    if guess is None:
        cards.show_card(
            "told", f"Measured: {shown}. You locked in no guess this time; next time, commit before you look."
        )
    elif isinstance(guess, str) or isinstance(measured, str):
        hit = guess == measured
        cards.show_card("right" if hit else "partly", f"You guessed: {guess}. Measured: {shown}.")
    else:
        away = f"{abs(guess - measured):{spec}} {unit}".rstrip()
        cards.show_card(
            "told", f"You guessed {_with_unit(guess, unit, spec)}. Measured: {shown}. You were {away} away."
        )


def panel(prediction: Prediction) -> "ipywidgets.VBox":
    """Return the widgets of a prediction: the question, the scale or the choices, a button, and a line that confirms."""
    import ipywidgets as widgets

    scale: Any
    if prediction.slider:
        low, high, step, unit = prediction.slider
        digits = len(f"{step:g}".partition(".")[2])
        scale = widgets.FloatSlider(
            value=low, min=low, max=high, step=step, description=unit, readout_format=f".{digits}f",
            layout=widgets.Layout(width="28em"),
        )  # fmt: skip
    else:
        scale = widgets.RadioButtons(options=list(prediction.choices), value=None, layout=widgets.Layout(width="auto"))
    button = widgets.Button(description="Lock in my guess", button_style="primary")
    answer = widgets.HTML()

    def lock(_: Any) -> None:
        if scale.value is None:
            answer.value = cards.card("wrong", "Choose one first.")
            return
        prediction.lock(scale.value)
        shown = _with_unit(scale.value, prediction.slider[3] if prediction.slider else "", "g")
        answer.value = cards.card("right", f"Locked in: {shown}. Now run on and see.")

    button.on_click(lock)
    return widgets.VBox([widgets.HTML(f"<b>{cards.markup(prediction.question)}</b>"), scale, button, answer])


def view(widget: "ipywidgets.DOMWidget") -> dict[str, Any]:
    """Return the MIME entry that makes a front end draw `widget`."""
    name = "application/vnd.jupyter.widget-view+json"
    return {name: widget._repr_mimebundle_()[name]}


def _with_unit(value: str | float, unit: str, spec: str) -> str:
    return value if isinstance(value, str) else f"{value:{spec}} {unit}".rstrip()
