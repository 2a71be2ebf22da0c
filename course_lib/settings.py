"""What counts as a number, for settings: text, a truth value or None is refused with its name, not with an error from deep inside."""

from numbers import Real
from operator import index
from typing import Any


def real(value: Any, name: str) -> float:
    """Return a number as it is. Raises ValueError, with the value, for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={value!r} must be a number, such as {name}=0.5")  # noqa: TRY004 - one error for all bad settings
    return value  # type: ignore[return-value]


def whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number from `least` to `most` as Python's own. Raises ValueError, with the value, for anything else."""
    try:
        number = index(value)
    except TypeError:
        number = None
    upto = "" if most is None else f" and at most {most}"
    if number is None or isinstance(value, bool) or number < least or (most is not None and number > most):
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}{upto}")
    return number
