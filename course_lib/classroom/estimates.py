"""What was measured over several seeds, put into numbers that a table or a figure can show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, isfinite, log10, nan
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from course_lib.learning import Finding, Interval

# One number, one number a seed, an interval already computed, or a judged difference.
Measured: TypeAlias = "float | Sequence[float] | Mapping[int, float] | Interval | Finding"
MARKS = {"holds": "✓", "does not hold here": "✗", "cannot tell": "?"}


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval, over `seeds` runs of which `broke` gave no number and are left out.

    `each`: the numbers of the others, where they are known. `outcome`: of a finding, what can be said of its claim.
    """

    mean: float
    low: float
    high: float
    seeds: int = 1
    broke: int = 0
    each: tuple[float, ...] = ()
    outcome: str = ""

    def times(self, scale: float) -> "Estimate":
        """Return this in another unit, `scale` of which make up one of the old."""
        each = tuple(scale * value for value in self.each)
        return replace(self, mean=scale * self.mean, low=scale * self.low, high=scale * self.high, each=each)

    @property
    def spreads(self) -> bool:
        """Say whether there is an interval to show; equal numbers may differ by a rounding error."""
        return self.high - self.low > 1e-9 * max(1.0, abs(self.mean))

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
        """One decimal, as accuracies in per cent have it, or none or more where the interval is much wider or narrower."""
        if not self.spreads:
            return ",.3g" if abs(self.mean) < 1000 else ",.0f"
        half = (self.high - self.low) / 2
        if half >= 0.095:
            return ",.0f" if half >= 10 else ",.1f"
        first = floor(log10(half))
        return f",.{(1 if half < 3 * 10**first else 0) - first}f"


def estimate(given: Measured, within: tuple[float, float] | None = None) -> Estimate:
    """Return mean and 95% interval of one number, a number for each seed, an interval, or a finding.

    Numbers that are not finite are runs that broke: counted, never averaged. `within`: the lowest and the highest value that
    is possible; no interval goes beyond. Raises ValueError for no value at all.
    """
    from course_lib.learning import Finding, Interval, interval

    if isinstance(given, Finding):
        return _judged(given)
    if isinstance(given, Interval):
        low, high = within or (given.low, given.high)
        return Estimate(given.mean, max(given.low, low), min(given.high, high), given.n)
    if isinstance(given, Mapping):
        given = list(given.values())
    values = [float(value) for value in (given if isinstance(given, Iterable) else [given])]
    if not values:
        raise ValueError("there is nothing to average: give at least one value")
    whole = tuple(value for value in values if isfinite(value))
    broke = len(values) - len(whole)
    if len(whole) < 2:
        mean = whole[0] if whole else nan
        return Estimate(mean, mean, mean, len(values), broke, whole)
    found = interval(whole, within=within)
    return Estimate(found.mean, found.low, found.high, len(values), broke, whole)


def _judged(finding: "Finding") -> Estimate:
    if finding.fixed:
        value = finding.fixed[0]
        return Estimate(value, value, value, outcome=finding.outcome)
    shown, seeds = finding.shown, finding.counted[1] if finding.counted else len(finding.differences) + finding.broke
    if shown is None:
        return Estimate(nan, nan, nan, seeds, seeds, outcome=finding.outcome)
    return Estimate(shown.mean, shown.low, shown.high, seeds, finding.broke, outcome=finding.outcome)


def explained(findings: "Iterable[Finding]") -> str:
    """Say what the intervals and the marks of findings that are shown together mean; "" for none.

    Raises ValueError for several that were not passed through `learning.holm`.
    """
    findings = list(findings)
    judged = [finding for finding in findings if not finding.fixed and not finding.counted]
    said = []
    if judged:
        among = {finding.among for finding in judged}
        if len(judged) > 1 and min(among) == 1:
            raise ValueError(f"{len(judged)} findings side by side: pass them through learning.holm first")
        level = (
            f"an interval with Holm's correction for {span(among)} comparisons" if max(among) > 1 else "a 95% interval"
        )
        seeds = {len(finding.differences) + finding.broke for finding in judged}
        claims = dict.fromkeys(_claim(finding) for finding in judged)
        said.append(f"Where marked, ± is half {level}, over {span(seeds)} seeds; the claim: {', '.join(claims)}.")
    if used := {finding.outcome for finding in findings}:
        said.append(", ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items() if outcome in used) + ".")
    return " ".join(said)


def span(counts: set[int]) -> str:
    """Return counts as "5", or as "3 to 5"."""
    return f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))


def _claim(finding: "Finding") -> str:
    margin = 100 * finding.margin if finding.unit == "points" else finding.margin
    return f"{finding.claim}, margin {margin:g}" if margin else finding.claim
