"""The ruler of the course: what a measured difference allows one to say.

A claim is judged by the whole interval of a difference that is paired by seed, and comes out in one of three ways: it holds,
it does not hold here, or it cannot be told. That "no significant difference" is not "the same" is the idea of equivalence
testing (Schuirmann 1987, doi 10.1007/BF01068419); many comparisons at once are corrected as in Holm 1979.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite, log, log1p
from typing import get_args

from course_lib.learning.evaluation import Interval, Values, interval
from course_lib.learning.finding import CANNOT_TELL, Claim, Finding

MARGIN = 0.01  # one point of accuracy: the smallest difference that the course cares about
SEEDS = 5  # fewer repetitions than this support no verdict


def compare(
    a: Values | Mapping[int, float], b: Values | Mapping[int, float], claim: Claim, *, margin: float | None = None,
    unit: str = "points", level: float = 0.95, over: str = "seeds",
) -> Finding:  # fmt: skip
    """Judge a claim about `a - b`, seed by seed: `a` is better than, no worse than or equal to `b`, where more is better.

    Sequences are paired by position, mappings by seed. A value that is not finite is a run that broke: it is counted, and the
    claim then never holds. `margin`: what counts as nothing; by default `MARGIN`, and 0 for "better", where any gain counts.
    `unit`: "points" shows shares from 0 to 1 times 100; any other unit is shown as it is. `over`: what was repeated, in words.

    Raises ValueError for an unknown claim, a margin that cannot be met, seeds that do not pair, or fewer than `SEEDS` of them.
    """
    pairs = _pairs(a, b)
    margin = _margin(claim, margin)
    return _judge([first - second for first, second in pairs], pairs, claim, margin, unit, level, over)


def compare_ratio(
    a: Values | Mapping[int, float], b: Values | Mapping[int, float], claim: Claim, *, margin: float | None = None,
    level: float = 0.95, over: str = "seeds",
) -> Finding:  # fmt: skip
    """Judge a claim about `a / b`, seed by seed, by geometric means: "better" means more.

    `margin`: what counts as nothing, as a share: 0.1 is a ratio between 1 / 1.1 and 1.1. Otherwise as `compare`; values that are
    not above 0 raise ValueError.
    """
    pairs = _pairs(a, b)
    if any(isfinite(value) and value <= 0 for pair in pairs for value in pair):
        raise ValueError(f"a ratio needs values above 0, got {pairs}: use compare for differences")
    ratios = [log(first / second) if _whole(first, second) else first / second for first, second in pairs]
    return _judge(ratios, pairs, claim, _margin(claim, margin), "times", level, over)


def compare_share(hits: int, tries: int, chance: float, *, level: float = 0.95) -> Finding:
    """Judge whether `hits` of `tries` show a share above `chance` (0 to 1), with Clopper and Pearson's exact interval (1934).

    Raises ValueError for counts that make no share, or a chance outside 0 to 1.
    """
    if not 0 <= hits <= tries or tries < 1:
        raise ValueError(f"{hits} of {tries} is no share: give how many of how many")
    if not 0 <= chance <= 1:
        raise ValueError(f"chance={chance} must lie between 0 and 1, for example 0.1 for one in ten")
    from scipy.stats import binomtest

    bounds = binomtest(hits, tries).proportion_ci(level, method="exact")
    found = Interval(hits / tries, float(bounds.low), float(bounds.high), tries)
    return Finding("better", chance, "%", level=level, counted=(hits, tries, found))


def exact(value: float, holds: bool, unit: str = "") -> Finding:
    """Return a finding without luck, such as a number of bytes: `holds` says what follows from it."""
    return Finding("equal", 0.0, unit, fixed=(value, "holds" if holds else "does not hold here"))


def holm(findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """Return findings that stand in one table, judged anew so that one wrong word in the table stays as rare as in one finding.

    The clearest is judged at 1 - alpha / n, the next at 1 - alpha / (n - 1), and so on down to the first that cannot be told;
    all others stay at its level (Holm 1979, Scandinavian Journal of Statistics 6). Raises ValueError for findings without a
    difference by seed.
    """
    for label, finding in findings.items():
        if finding.fixed or finding.counted:
            raise ValueError(f"{label!r} has no differences by seed, so there is nothing to correct: leave it out")
    corrected, left, level = {}, len(findings), 0.95
    for label in sorted(findings, key=lambda label: _doubt(findings[label])):
        finding = findings[label]
        if left:
            level = 1 - (1 - finding.level) / left
        corrected[label] = replace(finding, level=level, among=len(findings))
        left = left - 1 if left and corrected[label].outcome != CANNOT_TELL else 0
    return {label: corrected[label] for label in findings}


def winner(values: Mapping[str, Values | Mapping[int, float]], *, smaller: bool = False) -> str:
    """Return the name whose values beat every other's, paired by seed and corrected by Holm, or CANNOT_TELL.

    `smaller`: less is better. Raises ValueError for fewer than two names.
    """
    if len(values) < 2:
        raise ValueError(f"a winner needs rivals, got {list(values)}")
    sign = -1.0 if smaller else 1.0
    signed = {name: _by_seed(some, sign) for name, some in values.items()}
    for name, own in signed.items():
        beats = holm({other: compare(own, signed[other], "better", unit="") for other in signed if other != name})
        if all(finding.outcome == "holds" for finding in beats.values()):
            return name
    return CANNOT_TELL


def _by_seed(values: Values | Mapping[int, float], sign: float = 1.0) -> dict[int, float]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    return {seed: sign * float(value) for seed, value in pairs}


def _pairs(a: Values | Mapping[int, float], b: Values | Mapping[int, float]) -> list[tuple[float, float]]:
    if isinstance(a, Mapping) != isinstance(b, Mapping):
        raise ValueError("pair two sequences by position or two mappings by seed, not one of each")
    first, second = _by_seed(a), _by_seed(b)
    if first.keys() != second.keys():
        raise ValueError(f"the two must hold the same seeds, got {sorted(first)} and {sorted(second)}")
    if len(first) < SEEDS:
        raise ValueError(f"a verdict needs at least {SEEDS} seeds, got {len(first)}: repeat the runs")
    return [(first[seed], second[seed]) for seed in first]


def _margin(claim: Claim, margin: float | None) -> float:
    if claim not in get_args(Claim):
        raise ValueError(f"claim={claim!r} must be one of: {', '.join(get_args(Claim))}")
    if margin is None:
        return 0.0 if claim == "better" else MARGIN
    if not (0 <= margin < float("inf") and (margin or claim == "better")):
        raise ValueError(f"margin={margin} must be above 0 for the claim {claim!r}: nothing is equal to the last digit")
    return margin


def _whole(first: float, second: float) -> bool:
    return isfinite(first) and isfinite(second)


def _judge(
    differences: list[float], pairs: list[tuple[float, float]], claim: Claim, margin: float, unit: str, level: float,
    over: str,
) -> Finding:  # fmt: skip
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95")
    whole = [difference for difference, pair in zip(differences, pairs, strict=True) if _whole(*pair)]
    first_alone = sum(not isfinite(first) and isfinite(second) for first, second in pairs)
    return Finding(claim, margin, unit, tuple(whole), len(pairs) - len(whole), first_alone, level, over=over)


def _doubt(finding: Finding) -> float:
    """Return the smallest error rate at which the finding could still be told, up to 1: its p-value."""
    if finding.broke or len(finding.differences) < 2:
        return 1.0
    from scipy.stats import t

    found = interval(finding.differences)
    spread = found.half_width / float(t.ppf(0.975, found.n - 1))
    margin = log1p(finding.margin) if finding.unit == "times" else finding.margin
    distance = {
        "better": abs(found.mean - margin), "no worse": abs(found.mean + margin), "equal": abs(abs(found.mean) - margin),
    }[finding.claim]  # fmt: skip
    if not spread:
        return 0.0 if distance else 1.0
    return float(2 * t.sf(distance / spread, found.n - 1))
