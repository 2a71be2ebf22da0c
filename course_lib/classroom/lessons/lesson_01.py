"""Lesson 01, "One machine, and honest accuracy": the half-width of an interval, a paired decision, F1; and the quiz."""

from collections.abc import Callable, Sequence
from math import isclose, sqrt
from typing import Any

from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question
from course_lib.learning import interval, paired_difference

# No set has a mean near zero or n = 2 only: each slip below must give a number of its own.
_SAMPLES: tuple[tuple[float, ...], ...] = (
    (0.91, 0.93, 0.90, 0.94, 0.92),
    (0.80, 0.86, 0.83),
    (0.951, 0.949, 0.957, 0.944, 0.950, 0.953, 0.948, 0.952, 0.955, 0.941),
)


def _check_half_width(half_width: Callable[[Sequence[float]], Any]) -> str:
    for values in _SAMPLES:
        given, right = half_width(list(values)), interval(values).half_width
        if isinstance(given, tuple | list):
            raise Wrong("Return one number, the part after ±, and not the two ends of the interval.")
        if not isclose(float(given), right, rel_tol=1e-3):
            raise Wrong(_explain_half_width(values, float(given), right))
    return "Three values are enough for an interval, but look how wide it is: t(2) is 4.3, not 1.96."


def _explain_half_width(values: Sequence[float], given: float, right: float) -> str:
    from scipy.stats import t

    n = len(values)
    deviation = interval(values).half_width * sqrt(n) / float(t.ppf(0.975, n - 1))
    slips = {
        "the whole length of the interval: ± takes half of it.": 2 * right,
        "1.96 standard errors. That is the limit for many seeds; with few, take t with n - 1 degrees of freedom.":
            1.96 * deviation / sqrt(n),
        "the spread of single runs: divide by the square root of n to get that of their mean.": right * sqrt(n),
        "with the standard deviation divided by n. These values are a sample: divide by n - 1 (ddof=1).":
            right * sqrt((n - 1) / n),
        "with n degrees of freedom: one was used up by the mean, so take n - 1.":
            float(t.ppf(0.975, n)) * deviation / sqrt(n),
        "with t.ppf(0.95), which leaves 5% on one side. 2.5% on each side is t.ppf(0.975).":
            float(t.ppf(0.95, n - 1)) * deviation / sqrt(n),
        "divided by n: the standard error is the standard deviation over the square root of n.": right / sqrt(n),
        "the standard error alone: multiply it by t.ppf(0.975, n - 1).": deviation / sqrt(n),
        "the standard deviation alone: it still lacks t, and the square root of n.": deviation,
    }  # fmt: skip
    found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-3)), None)
    if found:
        return f"For {list(values)} you give {given:.4f}, which is {found}"
    return f"For {list(values)} the half-width is {right:.4f}, and you give {given:.4f}."


# (a, b): what the two settings reached with the same seeds.
_PAIRS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "small but steady": ((0.910, 0.930, 0.950, 0.920, 0.940), (0.906, 0.925, 0.946, 0.915, 0.937)),
    "large but shaky": ((0.95, 0.90, 0.96, 0.89, 0.95), (0.90, 0.93, 0.90, 0.92, 0.92)),
    "steadily worse": ((0.900, 0.921, 0.939, 0.911), (0.906, 0.927, 0.946, 0.916)),
    "none at all": ((0.91, 0.92, 0.93, 0.94), (0.92, 0.91, 0.94, 0.93)),
}


def _check_is_real(is_real: Callable[[Sequence[float], Sequence[float]], Any]) -> str:
    given = {name: is_real(list(a), list(b)) for name, (a, b) in _PAIRS.items()}
    if not all(str(value) in ("True", "False") for value in given.values()):  # numpy's booleans count too
        raise Wrong(f"Return True or False; yours returned {next(iter(given.values()))!r}.")
    said = {name: str(value) == "True" for name, value in given.items()}
    if len(set(said.values())) == 1:
        raise Wrong(f"Yours says {said['none at all']} to everything. Ask whether the interval of a - b leaves out 0.")
    right = {name: paired_difference(a, b).excludes(0) for name, (a, b) in _PAIRS.items()}
    if said == {name: not answer for name, answer in right.items()}:
        raise Wrong("It is the other way round: a difference is real when 0 lies outside its interval.")
    for name, answer in right.items():
        if said[name] != answer:
            raise Wrong(_explain_is_real(name))
    return "Five runs each, and 0.4 points were real while 2 points were not. The size alone decides nothing."


def _explain_is_real(name: str) -> str:
    a, b = _PAIRS[name]
    reasons = {
        "small but steady": "a beats b by about half a point with every seed, so that is real. Two separate intervals "
        "overlap here, since the seeds differ more than the settings: take the differences a - b first.",
        "large but shaky": "a is 1.6 points better on average, but with two seeds of five it is worse: the interval of "
        "the differences holds 0. A large mean difference is not enough.",
        "steadily worse": "a is worse than b with every seed. That is as real as being better.",
        "none at all": "the differences cancel out: there is nothing there.",
    }
    return f"a={list(a)}, b={list(b)}: {reasons[name]}"


# hits, false alarms, misses, correct rejections
_TABLES = ((30, 10, 25, 935), (5, 45, 3, 47), (8, 1, 12, 379))


def _check_f1(f1: Callable[[int, int, int, int], Any]) -> str:
    for table in _TABLES:
        given, right = f1(*table), _f1(*table)
        if not isclose(float(given), right, rel_tol=1e-3):
            raise Wrong(_explain_f1(table, float(given), right))
    never = f1(0, 0, 50, 950)
    if never != 0:
        raise Wrong(f"A classifier that never says yes has no hits: its F1 is 0, and yours gives {never}.")
    return "The classifier that never says yes is right 95% of the time, and its F1 is 0."


def _f1(hits: int, false_alarms: int, misses: int, rejections: int) -> float:
    return 2 * hits / (2 * hits + false_alarms + misses)


def _explain_f1(table: tuple[int, int, int, int], given: float, right: float) -> str:
    hits, false_alarms, misses, rejections = table
    precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
    slips = {
        "accuracy: F1 leaves the correct rejections out.": (hits + rejections) / sum(table),
        "precision: how many of the alarms were right. F1 also asks how many were found.": precision,
        "recall: how many were found. F1 also asks how many of the alarms were right.": recall,
        "the plain mean of precision and recall: F1 is their harmonic mean, 2PR / (P + R).": (precision + recall) / 2,
        "without the factor 2: the harmonic mean is 2PR / (P + R).": right / 2,
        "hits over everything but the rejections: in F1 the hits count twice, above and below.":
            hits / (hits + false_alarms + misses),
        "a percentage: give a share from 0 to 1.": 100 * right,
        "the F1 of the other class: count the hits, not the correct rejections.":
            2 * rejections / (2 * rejections + false_alarms + misses),
    }  # fmt: skip
    found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-3)), None)
    counts = f"{hits} hits, {false_alarms} false alarms, {misses} misses and {rejections} correct rejections"
    return f"For {counts} you give {given:.3f}, which is {found}" if found else (
        f"For {counts} F1 is {right:.3f}, and you give {given:.3f}."
    )  # fmt: skip


q1 = Exercise(
    "The half-width of a 95% interval", _check_half_width,
    hints=[
        "Standard deviation of the values (divide by n - 1), over the square root of n: that is the standard error.",
        "Multiply it by t.ppf(0.975, n - 1): 2.5% are left over on each side.",
        "numpy: np.std(values, ddof=1).",
    ],
    solution="    n = len(values)\n    return t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)",
)  # fmt: skip

q2 = Exercise(
    "Is the difference real?", _check_is_real,
    hints=[
        "Take the differences a - b seed by seed, then their interval.",
        "learning.paired_difference(a, b) returns that interval; does it leave out 0?",
    ],
    solution="    return learning.paired_difference(a, b).excludes(0)",
)  # fmt: skip

q3 = Exercise(
    "F1 from a table of counts", _check_f1,
    hints=[
        "Precision is hits / (hits + false alarms), recall is hits / (hits + misses); F1 is 2PR / (P + R).",
        "Put together: 2 hits / (2 hits + false alarms + misses). It also works when there are no alarms.",
    ],
    solution="    return 2 * hits / (2 * hits + false_alarms + misses)",
)  # fmt: skip

quiz = [
    Question(
        "A paper reports 92.4% for method A and 91.6% for B, one run each, on 1,000 test images. Is A better?",
        [
            Choice("Yes, by 0.8 points", False, "Two runs of the same method often differ by more than that."),
            Choice(
                "Nobody can tell from this", True, "There is no repeat, so no measure of luck, and few test images."
            ),
            Choice("No, they are equal", False, "Not seeing a difference does not show that there is none."),
        ],
    ),
    Question(
        "Ten training seeds on one test set give a narrow interval. What does it not cover?",
        [
            Choice("The luck of the first weights", False, "Each seed draws new ones, so this is covered."),
            Choice("The order of the images", False, "Each seed draws a new order, so this is covered."),
            Choice(
                "The choice of test images", True, "All ten runs share them: other images could move all ten together."
            ),
        ],
    ),
    Question(
        "Why does pairing by seed help?",
        [
            Choice("It makes both methods more accurate", False, "The accuracies and their means stay as they are."),
            Choice(
                "What both share cancels in each difference", True, "An easy split raises both; only the rest is noise."
            ),
            Choice("It doubles the number of runs", False, "The runs are the same ones, only subtracted in pairs."),
        ],
    ),
    Question(
        "1% of payments are fraud. A model is 99% accurate. What do you know?",
        [
            Choice("It finds most frauds", False, "A model that never raises an alarm is 99% accurate as well."),
            Choice("Next to nothing about frauds", True, "Ask for recall and precision, F1, or PR-AUC."),
        ],
    ),
]
