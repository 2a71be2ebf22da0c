"""Lesson 01, "One machine, and honest accuracy": the half-width of an interval, a paired decision, F1; and the quiz."""

from collections.abc import Callable, Sequence
from math import isclose, sqrt
from typing import Any

from course_lib.classroom.answers import function, number, truth
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.lessons import decisions
from course_lib.classroom.quizzes import Choice, Question
from course_lib.learning import Interval, interval

# No set has a mean near zero or n = 2 only: each slip below must give a number of its own.
_SAMPLES: tuple[tuple[float, ...], ...] = (
    (0.91, 0.93, 0.90, 0.94, 0.92),
    (0.80, 0.86, 0.83),
    (0.951, 0.949, 0.957, 0.944, 0.950, 0.953, 0.948, 0.952, 0.955, 0.941),
)


def _check_half_width(half_width: Callable[[Sequence[float]], Any]) -> str:
    for values in _SAMPLES:
        given, right = function(half_width)(list(values)), interval(values).half_width
        if isinstance(given, tuple | list | Interval):
            raise Wrong("Return one number, the part after ±, and not the two ends of the interval.")
        if not isclose(number(given), right, rel_tol=1e-3):
            raise Wrong(_explain_half_width(values, number(given), right))
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


def _check_is_real(is_real: Callable[[Sequence[float], Sequence[float]], Any]) -> str:
    decide = function(is_real)
    said = {name: truth(decide(list(pair.a), list(pair.b))) for name, pair in decisions.PAIRS.items()}
    if wrong := decisions.explain(said):
        raise Wrong(wrong)
    return "Five seeds each, and half a point was real while a difference of 1.2 points was not. The size alone decides nothing."


# hits, false alarms, misses, correct rejections
_TABLES = ((30, 10, 25, 935), (5, 45, 3, 47), (8, 1, 12, 379))


def _check_f1(f1: Callable[[int, int, int, int], Any]) -> str:
    for table in _TABLES:
        given, right = number(function(f1)(*table)), _f1(*table)
        if not isclose(given, right, rel_tol=1e-3):
            raise Wrong(_explain_f1(table, given, right))
    never = number(f1(0, 0, 50, 950))
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
        "learning.paired_difference(a, b) returns that interval; its .excludes(0) says whether it leaves out 0.",
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
        "Five seeds, paired: A is ahead of B by 0.4 ± 1.6 points. The margin is 1 point. What follows?",
        [
            Choice(
                "A and B are equal",
                False,
                "Equal needs the whole interval within 1 point; this one reaches from -1.2 to 2.0.",
            ),
            Choice("A is better", False, "Better needs the whole interval above 0."),
            Choice(
                "These runs cannot tell",
                True,
                "The interval allows for a loss of a point and for a gain of two. Repeat with more seeds.",
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
        "You try nine learning rates and report the test accuracy of the best. What is wrong?",
        [
            Choice(
                "Nine are too few",
                False,
                "The more you try, the luckier the best of them is on the images that choose it.",
            ),
            Choice(
                "The images that chose also judge",
                True,
                "Choose on a validation split, and touch the test images once.",
            ),
            Choice(
                "Nothing, if the seeds are paired",
                False,
                "Pairing removes shared luck, not that of the one you picked.",
            ),
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
