"""What counts as a seed, for everything that takes one."""

from operator import index
from typing import Any


def seed(value: Any, name: str = "seed") -> int:
    """Return a seed as a Python int: numpy's and torch's whole numbers are the same seed as Python's.

    Raises ValueError, with the value, for text, a truth value, a fraction and what else is not a whole number.
    """
    try:
        number = index(value)
    except (TypeError, ValueError):
        number = None
    # A truth value of Python's or torch's is a whole number to `index`.
    if number is None or isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        raise ValueError(f"{name}={value!r} must be a whole number, such as {name}=3: write int({name}) if you mean it")
    return number
