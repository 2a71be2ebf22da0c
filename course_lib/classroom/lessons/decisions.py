"""When is a difference real? Pairs of settings, and how plausible wrong rules judge them; for exercise 2 of lesson 01."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t

Values = tuple[float, ...]


@dataclass(frozen=True)
class Pair:
    """What two settings reached with the same seeds, and why their difference is real or not."""

    a: Values
    b: Values
    why: str


# The mean difference over its standard error is chosen so that every rule below errs somewhere, each in places of its own.
PAIRS = {
    "small but steady": Pair(
        (0.910, 0.930, 0.950, 0.920, 0.940), (0.906, 0.925, 0.946, 0.915, 0.937),
        "a beats b by about half a point with every seed, so that is real. Two separate intervals overlap here, since the seeds "
        "differ more than the settings: take the differences a - b first.",
    ),
    "large but shaky": Pair(
        (0.957, 0.903, 0.973, 0.916, 0.911), (0.924, 0.912, 0.948, 0.923, 0.893),
        "a is 1.2 points better on average, but with two seeds of five it is worse: the interval of the differences holds 0. "
        "A large mean difference is not enough.",
    ),
    "steadily worse": Pair(
        (0.912, 0.914, 0.911, 0.912, 0.913), (0.920, 0.923, 0.918, 0.920, 0.921),
        "a is worse than b with every seed. That is as real as being better.",
    ),
    "far apart": Pair(
        (0.950, 0.971, 0.949, 0.961, 0.935), (0.924, 0.942, 0.915, 0.930, 0.903),
        "a is about three points better with every seed. Two separate intervals overlap here all the same: take the differences first.",
    ),
    "hardly any": Pair(
        (0.964, 0.932, 0.922, 0.947, 0.863), (0.924, 0.912, 0.948, 0.923, 0.893),
        "the mean difference is less than half of its standard error: three seeds of five one way is what luck does all the time.",
    ),
    "half and half": Pair(
        (0.949, 0.902, 0.973, 0.911, 0.904, 0.908), (0.924, 0.912, 0.948, 0.923, 0.893, 0.920),
        "the mean difference is small beside how much the differences vary: its interval holds 0.",
    ),
    "none at all": Pair(
        (0.91, 0.92, 0.93, 0.94, 0.92, 0.93), (0.92, 0.91, 0.94, 0.93, 0.93, 0.92),
        "the differences cancel out: there is nothing there.",
    ),
    "all one way, once by far": Pair(
        (0.926, 0.914, 0.952, 0.925, 0.924), (0.924, 0.912, 0.948, 0.923, 0.893),
        "a is better with every seed, but most of the mean comes from one of them: the interval of the differences holds 0.",
    ),
    "two standard errors": Pair(
        (0.939, 0.899, 0.945, 0.919, 0.938), (0.930, 0.885, 0.936, 0.926, 0.923),
        "the mean difference is 2.0 standard errors, and with five seeds it takes 2.8 (t with 4 degrees of freedom).",
    ),
    "more than two": Pair(
        (0.931, 0.946, 0.949, 0.912, 0.892), (0.924, 0.942, 0.935, 0.905, 0.894),
        "the mean difference is 2.3 standard errors, and with five seeds it takes 2.8 (t with 4 degrees of freedom).",
    ),
    "two and a half": Pair(
        (0.933, 0.919, 0.948, 0.898, 0.935), (0.929, 0.913, 0.933, 0.888, 0.936),
        "the mean difference is 2.5 standard errors, and with five seeds it takes 2.8 (t with 4 degrees of freedom).",
    ),
    "nearly": Pair(
        (0.934, 0.948, 0.955, 0.915, 0.893), (0.924, 0.942, 0.935, 0.905, 0.894),
        "the mean difference is 2.6 standard errors, and with five seeds it takes 2.8 (t with 4 degrees of freedom).",
    ),
    "twelve seeds": Pair(
        (0.885, 0.925, 0.912, 0.917, 0.914, 0.928, 0.952, 0.962, 0.921, 0.945, 0.911, 0.938),
        (0.878, 0.921, 0.900, 0.910, 0.914, 0.919, 0.933, 0.946, 0.922, 0.952, 0.912, 0.932),
        "single differences scatter, and three of twelve are below 0, but their mean is known well enough: its interval leaves out 0.",
    ),
}  # fmt: skip

Rule = Callable[[np.ndarray, np.ndarray], bool]


def _ratio(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """Return the mean difference over its standard error."""
    d = a - b
    return abs(float(d.mean())) / (float(d.std(ddof=ddof)) / sqrt(len(d)))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) / sqrt(len(values))


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether the two separate intervals do not overlap."""
    reach = float(t.ppf(0.975, len(a) - 1)) * (_error(a) + _error(b))
    return abs(float(a.mean() - b.mean())) > reach


def _unpaired(a: np.ndarray, b: np.ndarray) -> bool:
    limit = float(t.ppf(0.975, 2 * len(a) - 2))
    return abs(float(a.mean() - b.mean())) > limit * sqrt(_error(a) ** 2 + _error(b) ** 2)


def _clears(a: np.ndarray, b: np.ndarray, bound: float) -> bool:
    """Say whether the paired interval lies beyond `bound`, on either side."""
    d = a - b
    return abs(float(d.mean())) > bound + float(t.ppf(0.975, len(d) - 1)) * _error(d)


def right(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether the 95% interval of the paired difference leaves out 0."""
    return _clears(a, b, 0)


# What a wrong rule is called, and what is wrong with it.
WRONG: dict[str, Rule] = {
    "the sign rule: do all seeds agree on who is better? It does not look at how much the differences vary, and one seed "
    "against it hides what is real.": lambda a, b: bool((a > b).all() or (a < b).all()),
    "the sign rule: who is better with most of the seeds? Luck gives one side a majority nearly always. Look at how "
    "much the differences vary.": lambda a, b: bool((a > b).mean() > 0.5 or (a < b).mean() > 0.5),
    "1.96 (or 2) standard errors. That is the limit for many seeds; with few, take t with n - 1 degrees of freedom, as "
    "learning.paired_difference does.": lambda a, b: _ratio(a, b) > 1.96,
    "one standard error. Luck alone goes beyond it in a third of all cases: take t times the standard error.":
        lambda a, b: _ratio(a, b) > 1,
    "one standard deviation of the differences. That is how far single seeds scatter; their mean scatters less, by "
    "the square root of n: take t standard errors.": lambda a, b: _ratio(a, b) > sqrt(len(a)),
    "two standard deviations of the differences. That is how far single seeds scatter; their mean scatters less, by the "
    "square root of n: take t standard errors.": lambda a, b: _ratio(a, b) > 1.96 * sqrt(len(a)),
    "t with a standard deviation divided by n. The differences are a sample: divide by n - 1 (ddof=1).":
        lambda a, b: _ratio(a, b, ddof=0) > float(t.ppf(0.975, len(a) - 1)),
    "t with n degrees of freedom: one was used up by the mean, so take n - 1.":
        lambda a, b: _ratio(a, b) > float(t.ppf(0.975, len(a))),
    "t.ppf(0.95), which leaves 5% on one side. 2.5% on each side is t.ppf(0.975).":
        lambda a, b: _ratio(a, b) > float(t.ppf(0.95, len(a) - 1)),
    "an unpaired comparison: what the seeds share hides the difference. Take the differences a - b first.": _unpaired,
    "whether two separate intervals overlap. What the seeds share hides the difference: take the differences a - b first.":
        _apart,
    "whether the difference is larger than a point, the course's margin. That is the next question; real means that the "
    "interval of a - b leaves out 0.": lambda a, b: _clears(a, b, 0.01),
    "whether a is better. Being worse is as real as being better: the interval may lie on either side of 0.":
        lambda a, b: right(a, b) and bool(a.mean() > b.mean()),
}  # fmt: skip


def explain(said: dict[str, bool]) -> str | None:
    """Return what is wrong with answers by pair, by the name of the rule that they follow where it is known; None if right."""
    arrays = {name: (np.array(pair.a), np.array(pair.b)) for name, pair in PAIRS.items()}
    expected = {name: right(a, b) for name, (a, b) in arrays.items()}
    if said == expected:
        return None
    if len(set(said.values())) == 1:
        return f"Yours says {said['none at all']} to everything. Ask whether the interval of a - b leaves out 0."
    if said == {name: not answer for name, answer in expected.items()}:
        return "It is the other way round: a difference is real when 0 lies outside its interval."
    answers = {text: {name: rule(a, b) for name, (a, b) in arrays.items()} for text, rule in WRONG.items()}
    for text in WRONG:
        if said == answers[text]:
            return f"Yours is {text}"
    sizes = {name: abs(float((a - b).mean())) for name, (a, b) in arrays.items()}
    if min(sizes[name] for name in PAIRS if said[name]) > max(sizes[name] for name in PAIRS if not said[name]):
        return (
            "Yours looks only at how large the mean difference is. That says nothing about luck: ask whether the interval of "
            "a - b leaves out 0."
        )
    better = {name: bool(a.mean() > b.mean()) for name, (a, b) in arrays.items()}
    for text in WRONG:
        if said == {name: answers[text][name] and better[name] for name in PAIRS}:
            return f"Yours is {text} And being worse is as real as being better."
    name = next(name for name in PAIRS if said[name] != expected[name])
    pair = PAIRS[name]
    return f"a={list(pair.a)}, b={list(pair.b)}: {pair.why}"
