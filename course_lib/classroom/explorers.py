"""Turn a knob, see what happens: a function of a few settings, redrawn at once."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from course_lib.classroom import cards, knobs
from course_lib.classroom.plots import Picture, picture

if TYPE_CHECKING:
    import ipywidgets

# (low, high, step) is a slider, a list or a mapping label -> value is a menu, a bool is a tick box.
Control = tuple[float, float, float] | list[Any] | dict[str, Any] | bool


def explore(
    fn: Callable[..., Any], *, stored: str = "", units: Mapping[str, str] | None = None, **controls: Control
) -> None:
    """Show controls that call `fn(**settings)` and show the Picture, Figure or text that it returns.

    `controls`: one for each parameter of `fn`: `(low, high, step)`, a list, a mapping label -> value, or a bool. Each starts
    at the parameter's default, or else at its first value. `stored`: names the stored study that `fn` looks its answers up
    in; without it, the learner is told that each change is computed on the spot, which should take less than a second.
    `units`: what a control is measured in, as in `{"deadline": "s"}`; it is written beside the control.

    A saved notebook keeps the last picture and its settings. Tag the cell `nbval-ignore-output`: the picture is compared
    otherwise. Raises ValueError for controls that do not match the parameters, or units that do not match the controls.
    """
    explorer = Explorer(fn, controls, stored, units or {})
    first = explorer.draw(**explorer.start)
    explorer.keep = knobs.show(explorer.panel(as_html(first)), *explorer.kept(first, explorer.start))


class Explorer:
    """The settings, the function and the widgets that join them.

    `start`: the first value of each setting. `keep(text, html)`: called after each change with what a saved notebook shows.
    """

    def __init__(
        self, fn: Callable[..., Any], controls: Mapping[str, Control], stored: str = "", units: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        parameters = inspect.signature(fn).parameters
        needed = {name for name, given in parameters.items() if given.default is given.empty}
        if not controls or not needed <= controls.keys() <= parameters.keys():
            raise ValueError(
                f"`{fn.__name__}` takes {', '.join(parameters) or 'nothing'}, but the controls are for: "
                f"{', '.join(controls) or 'nothing'}"
            )
        self._units = dict(units or {})
        if not self._units.keys() <= controls.keys():
            raise ValueError(f"units are for {', '.join(self._units)}, but the controls are: {', '.join(controls)}")
        self._fn, self._controls = fn, dict(controls)
        self.start = {name: _start(control, parameters[name].default) for name, control in controls.items()}
        self.keep: Callable[[str, str], None] = lambda text, html: None
        how = f"Looked up in a stored study ({stored})" if stored else "Computed live, on the spot"
        names = ", ".join(name.replace("_", " ") for name in controls)
        self.invitation = f"Explore: change {names}. {how}."

    def draw(self, **settings: Any) -> Picture | str:
        """Return what `fn` makes of the settings. Raises TypeError for a result that cannot be shown."""
        result = self._fn(**settings)
        return result if isinstance(result, Picture | str) else picture(result)

    def redraw(self, **settings: Any) -> str:
        """Return HTML for the settings, and keep it; an error inside `fn` is shown, since a widget would swallow it."""
        try:
            shown = self.draw(**settings)
        except Exception as error:  # noqa: BLE001 - a widget swallows whatever its callback raises
            return cards.card("wrong", f"This setting does not work: {type(error).__name__}: {error}")
        self.keep(*self.kept(shown, settings))
        return as_html(shown)

    def kept(self, shown: Picture | str, settings: Mapping[str, Any]) -> tuple[str, str]:
        """Return text and HTML that stay when the controls are gone: what is shown, for which settings, how to go on."""
        words = f"{self.invitation} Here: {', '.join(self._words(name, value) for name, value in settings.items())}."
        html = cards.card("told", f"{words} Run this cell to get the controls.") + as_html(shown)
        return f"{words}\n{shown.summary if isinstance(shown, Picture) else shown}", html

    def _words(self, name: str, value: Any) -> str:
        control = self._controls[name]
        if isinstance(control, bool):
            value = "yes" if value else "no"
        elif isinstance(control, dict):
            value = next(label for label, entry in control.items() if entry == value)
        elif isinstance(value, float):
            value = f"{value:g}"
        unit = self._units.get(name, "")
        return f"{name.replace('_', ' ')} {value} {unit}".rstrip()

    def panel(self, first: str) -> "ipywidgets.VBox":
        """Return the widgets: where the answers come from, the controls, and what they show, at first the HTML `first`."""
        import ipywidgets as widgets

        knobs = {
            name: _widget(control, self._label(name), self.start[name]) for name, control in self._controls.items()
        }
        # An HTML widget's value is replaced as a whole: unlike an Output area it cannot mix up two quick changes.
        screen = widgets.HTML(first)

        def refresh(_: Any) -> None:
            screen.value = self.redraw(**{name: knob.value for name, knob in knobs.items()})

        for knob in knobs.values():
            knob.observe(refresh, names="value")
        return widgets.VBox([widgets.HTML(cards.card("told", self.invitation)), *knobs.values(), screen])

    def _label(self, name: str) -> str:
        unit = f" ({self._units[name]})" if name in self._units else ""
        return name.replace("_", " ") + unit


def as_html(shown: Picture | str) -> str:
    """Return a picture as an `<img>` with its alternative text, or a text as it stands."""
    if isinstance(shown, Picture):
        return shown.html()
    return f'<div style="white-space: pre-wrap">{cards.markup(shown)}</div>'


def _start(control: Control, default: Any) -> Any:
    if isinstance(control, bool):
        return control if default is inspect.Parameter.empty else bool(default)
    if isinstance(control, tuple):
        low, high, _ = control
        return default if default is not inspect.Parameter.empty and low <= default <= high else low
    values = list(control.values()) if isinstance(control, dict) else control
    if not values:
        raise ValueError("a menu needs at least one value")
    return default if default in values else values[0]


def _widget(control: Control, label: str, start: Any) -> Any:
    import ipywidgets as widgets

    options = {
        "description": label,
        "style": {"description_width": "initial"},
        "layout": widgets.Layout(width="32em", max_width=knobs.WHOLE),
    }
    if isinstance(control, bool):
        return widgets.Checkbox(value=start, indent=False, **options)
    if isinstance(control, tuple):
        # Drawn when the knob is let go: one figure for each pixel would fall behind the mouse.
        return knobs.slider(*control, start, continuous_update=False, **options)
    entries = list(control.items()) if isinstance(control, dict) else control
    return widgets.Dropdown(options=entries, value=start, **options)
