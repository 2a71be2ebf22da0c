"""An epsilon with all that it means nothing without: delta, the unit, the neighbours, who adds the noise, who worked it out."""

from dataclasses import dataclass
from math import isinf
from typing import Literal

Unit = Literal["example", "user"]


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta)-differential privacy of a run (Dwork et al. 2006), and what it is a promise about.

    `unit`: what one may add or remove without anybody being able to tell: one example, or one user with all its examples.
    `trusted`: who adds the noise and therefore sees what is not yet private. `accountant`: "prv" or "rdp", whichever gave the
    number; `fallback`: why it is not the one that was asked for. `units`: how many examples or users there are, if known.
    """

    epsilon: float
    delta: float
    unit: Unit = "example"
    trusted: str = "the server"
    accountant: str = "prv"
    fallback: str = ""
    units: int | None = None
    neighbours: str = "add or remove one"

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise ValueError(f"epsilon={self.epsilon} must be 0 or more: ask accounting.spent for it")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta={self.delta} must lie between 0 and 1: well below 1 / the number of {self.unit}s")
        if self.unit not in ("example", "user"):
            raise ValueError(f"unit={self.unit!r} must be 'example' or 'user'")

    @property
    def warning(self) -> str:
        """What is wrong with the claim, or nothing. A delta of 1/n allows a mechanism that publishes one unit as it is."""
        if self.units is not None and self.delta >= 1 / self.units:
            return (
                f"delta = {_number(self.delta)} is not below 1/n = {_number(1 / self.units)} ({self.units} {self.unit}s): so "
                f"large a delta would allow publishing one {self.unit} in full"
            )
        if isinf(self.epsilon):
            return "epsilon is infinite: nothing is promised"
        return ""

    def __str__(self) -> str:
        said = (
            f"epsilon = {self.epsilon:.2f} at delta = {_number(self.delta)} for one {self.unit} added or removed; "
            f"noise added by {self.trusted}, who must be trusted with what it hides; accountant: {self.accountant.upper()}"
        )
        if self.fallback:
            said += f" ({self.fallback})"
        return said + (f". Warning: {self.warning}" if self.warning else "")


def _number(value: float) -> str:
    """Write 1e-05 as 1e-5."""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
