"""What was measured over several seeds, put into numbers that a table or a figure can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10, nan
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from course_lib.learning import Interval

# One number, one number a seed, or an interval already computed.
Measured: TypeAlias = "float | Sequence[float] | Mapping[int, float] | Interval"


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval, over `seeds` runs of which `broke` gave no number and are left out."""

    mean: float
    low: float
    high: float
    seeds: int = 1
    broke: int = 0

    @property
    def spreads(self) -> bool:
        """Say whether there is an interval to show."""
        return self.high > self.low

    def words(self, spec: str = "") -> str:
        """Return for example "91.4 ± 0.8", or "2 of 5 broke, the others 91.4 ± 0.8"; `spec` as for a float, "" chooses."""
        from course_lib.learning import Interval

        if self.broke == self.seeds:
            return "all broke" if self.seeds > 1 else "broke"
        spec = spec or self._digits()
        kept = self.seeds - self.broke
        shown = format(Interval(self.mean, self.low, self.high, kept) if self.spreads else self.mean, spec)
        if not self.broke:
            return shown
        return f"{self.broke} of {self.seeds} broke, the other{'s' if kept > 1 else ''} {shown}"

    def _digits(self) -> str:
        """Two digits of half the interval; three of a number that has none."""
        size = (self.high - self.low) / 2 if self.spreads else abs(self.mean) / 10
        return f",.{max(0, 1 - floor(log10(size)))}f" if size else "g"


def estimate(given: Measured, within: tuple[float, float] | None = None) -> Estimate:
    """Return mean and 95% interval of one number, a number for each seed, or an interval.

    Numbers that are not finite are runs that broke: counted, never averaged. `within`: the lowest and the highest value that
    is possible; no interval goes beyond. Raises ValueError for no value at all.
    """
    from course_lib.learning import Interval, interval

    if isinstance(given, Interval):
        low, high = within or (given.low, given.high)
        return Estimate(given.mean, max(given.low, low), min(given.high, high), given.n)
    if isinstance(given, Mapping):
        given = list(given.values())
    values = [float(value) for value in (given if hasattr(given, "__len__") else [given])]
    if not values:
        raise ValueError("there is nothing to average: give at least one value")
    whole = [value for value in values if isfinite(value)]
    broke = len(values) - len(whole)
    if len(whole) < 2:
        mean = whole[0] if whole else nan
        return Estimate(mean, mean, mean, len(values), broke)
    found = interval(whole, within=within)
    return Estimate(found.mean, found.low, found.high, len(values), broke)
