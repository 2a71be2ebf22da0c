"""A claim about a difference, what was measured on it, and what can be said of it: one of three outcomes, one wording."""

from dataclasses import dataclass
from math import exp, log, log1p
from typing import Literal

from course_lib.learning.evaluation import Interval, interval

Claim = Literal["better", "no worse", "equal"]
Outcome = Literal["holds", "does not hold here", "cannot tell"]

CANNOT_TELL: Outcome = "cannot tell"


def outcome(low: float, high: float, claim: Claim, margin: float) -> Outcome:
    """Judge a claim about a difference that lies between `low` and `high`.

    "better": it is above `margin` (0 where any gain counts); "no worse": it is not below `-margin`; "equal": it is inside the
    margin on both sides. A claim holds or fails only with the whole interval; an interval on both sides of a bound tells nothing.
    """
    if claim == "better":
        return "holds" if low > margin else "does not hold here" if high < margin else CANNOT_TELL
    if claim == "no worse":
        return "holds" if low >= -margin else "does not hold here" if high < -margin else CANNOT_TELL
    inside, outside = -margin <= low and high <= margin, low > margin or high < -margin
    return "holds" if inside else "does not hold here" if outside else CANNOT_TELL


@dataclass(frozen=True)
class Finding:
    """A claim with what was measured on it and its outcome; in words it says all of that.

    `differences`: what was compared, one value a seed: differences, or logarithms of ratios; runs that broke are left out.
    `broke`, `broke_first`: seeds of which at least one run broke, and of those, in how many it was the first of the two alone.
    `fixed`: for a fact without luck, its value and outcome. `over`: what was repeated.
    """

    claim: Claim
    margin: float
    unit: str
    differences: tuple[float, ...] = ()
    broke: int = 0
    broke_first: int = 0
    level: float = 0.95
    among: int = 1
    counted: tuple[int, int, Interval] | None = None
    fixed: tuple[float, Outcome] | None = None
    over: str = "seeds"

    @property
    def interval(self) -> Interval | None:
        """The interval of the difference as it was passed (points: shares from -1 to 1); None where there is none."""
        if self.counted:
            return self.counted[2]
        if len(self.differences) < 2:
            return None
        found = interval(self.differences, self.level, within=(-1, 1) if self.unit == "points" else None)
        if self.unit != "times":
            return found
        return Interval(exp(found.mean), exp(found.low), exp(found.high), found.n)

    @property
    def shown(self) -> Interval | None:
        """The interval in the unit that is shown: points rather than shares."""
        found, scale = self.interval, 100 if self.unit in ("points", "%") else 1
        return found and Interval(scale * found.mean, scale * found.low, scale * found.high, found.n)

    @property
    def outcome(self) -> Outcome:
        """What can be said of the claim. Where runs broke, it never holds; where the reference broke, nothing can be told."""
        if self.fixed:
            return self.fixed[1]
        found = self.interval
        if found is None or self.broke > self.broke_first:
            return CANNOT_TELL
        if self.unit == "times":
            said = outcome(log(found.low), log(found.high), self.claim, log1p(self.margin))
        else:
            said = outcome(found.low, found.high, self.claim, self.margin)
        return CANNOT_TELL if self.broke and said == "holds" else said

    def choose(self, *, holds: str, fails: str) -> str:
        """Return the one answer where the claim holds, the other where it does not, and CANNOT_TELL otherwise."""
        return {"holds": holds, "does not hold here": fails, CANNOT_TELL: CANNOT_TELL}[self.outcome]

    def __str__(self) -> str:
        if self.fixed:
            return f"{_number(self.fixed[0])} {self.unit}".rstrip()
        seeds, shown = len(self.differences) + self.broke, self.shown
        said = f"{self.broke} of {seeds} broke, " if self.broke else ""
        if shown is None:
            return f"{said}too few left for an interval"
        said += f"{'the others ' if self.broke else ''}{_with_interval(shown, self.unit)} ({self._claim()}"
        said += f"; {self.counted[1]} counted" if self.counted else f"; {seeds} {self.over}"
        if self.among > 1:
            said += f"; {100 * self.level:.3g}% interval, Holm's correction for {self.among}"
        return said + ")"

    def _claim(self) -> str:
        margin = 100 * self.margin if self.unit in ("points", "%") else self.margin
        if self.counted:
            return f"against {margin:g}%"
        if self.claim == "better":
            return f"better by more than {margin:g}" if margin else "better"
        return f"{self.claim}, margin {margin:g}"


def _with_interval(shown: Interval, unit: str) -> str:
    if unit == "%":
        return f"{shown.mean:.1f} ({shown.low:.1f} to {shown.high:.1f}) %"
    if unit == "times":
        return f"{_number(shown.mean)} ({_number(shown.low)} to {_number(shown.high)}) times"
    if unit == "points":
        return f"{format(shown, '+.2f' if shown.half_width < 0.1 else '+.1f')} points"
    size = max(abs(shown.low), abs(shown.high))
    return f"{format(shown, '+,.0f' if size >= 100 else '+.1f' if size >= 10 else '+.2f')} {unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
