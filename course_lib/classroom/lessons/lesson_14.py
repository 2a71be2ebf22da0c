"""Exercises and quiz of lesson 14, Poisoned updates."""

from collections.abc import Callable
from math import isclose
from typing import Any

import numpy as np

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

_UPDATES = np.array([[1.0, 4.0], [2.0, -50.0], [3.0, 12.0], [4.0, 14.0], [90.0, 13.0], [7.0, 11.0], [6.0, 10.5]])


def _check_trimmed_mean(trimmed_mean: Callable[[Any, int], Any]) -> str:
    trimmed_mean = function(trimmed_mean)
    given = np.asarray(trimmed_mean(_UPDATES.copy(), 1), dtype=float)
    if given.shape != (2,):
        raise Wrong(
            f"Seven updates of two numbers make one update of two numbers; you return shape {given.shape}. Take means down "
            "the columns (`axis=0`)."
        )
    ordered = np.sort(_UPDATES, axis=0)
    right = ordered[1:-1].mean(0)
    by_length = _UPDATES[np.argsort(np.linalg.norm(_UPDATES, axis=1))]
    for mistake, explanation in [
        (_UPDATES.mean(0), "That is the plain mean: nothing is cut."),
        (np.median(_UPDATES, axis=0), "That is the median. Here the values in the middle are averaged, five of seven."),
        (ordered[:-1].mean(0), "You cut the largest only. An attacker may also be far below: cut on both sides."),
        (ordered[1:].mean(0), "You cut the smallest only. Cut on both sides."),
        (
            _UPDATES[1:-1].mean(0),
            "You cut the first and the last client. Sort each column first: `np.sort(updates, axis=0)`.",
        ),
        (
            by_length[1:-1].mean(0),
            "You cut whole updates, by their length. The trimmed mean goes coordinate by coordinate.",
        ),
        (by_length[:-1].mean(0), "You cut one whole update, by its length. The trimmed mean goes coordinate by coordinate."),
        (ordered[1:-1].sum(0), "You added what is left. Divide by how many are left."),
        (ordered[1:-1].sum(0) / 7, "You divided by all seven. Five are left."),
        (ordered[2:-2].mean(0), "You cut two on each side. With f = 1 it is one."),
    ]:  # fmt: skip
        if np.allclose(given, mistake) and not np.allclose(mistake, right):
            raise Wrong(explanation)
    if not np.allclose(given, right):
        raise Wrong(
            f"For {_UPDATES.tolist()} and f = 1 the trimmed mean is {right.tolist()}; you return {given.tolist()}."
        )
    nothing = np.asarray(trimmed_mean(_UPDATES.copy(), 0), dtype=float)
    if nothing.shape != (2,) or not np.allclose(nothing, _UPDATES.mean(0)):
        raise Wrong(
            f"Right for f = 1. With f = 0 nothing is cut, and you return {nothing.tolist()}: in Python, `[0:-0]` is empty. "
            "Write `[f : len(updates) - f]`."
        )
    return "The wild 90 and the wild -50 are both gone, though they came from different clients."


q1 = Exercise(
    "The trimmed mean",
    _check_trimmed_mean,
    hints=[
        "`np.sort(updates, axis=0)` sorts each coordinate for itself. Which rows of that do you keep?",
        "Keep rows `f` to `len(updates) - f`, and take `.mean(axis=0)`.",
    ],
    solution=(
        "    ordered = np.sort(updates, axis=0)\n    return ordered[f : len(updates) - f].mean(axis=0)"
    ),
)  # fmt: skip


def _check_success(success: Callable[[Any, Any, int], float]) -> str:
    success = function(success)
    labels = np.array([7, 7, 7, 1, 2, 3, 4, 5, 6, 8])
    predicted = np.array([7, 7, 7, 7, 7, 3, 4, 7, 6, 9])
    given = number(success(predicted.copy(), labels.copy(), 7))
    for mistake, explanation in [
        (
            6 / 10,
            "You count the images that really show a 7. They would count as success without any attack: leave them out.",
        ),
        (3 / 10, "You divide by all ten images. Three of them show a 7 anyway: leave them out, below the line too."),
        (
            4 / 7,
            "You count every mistake. Taking an 8 for a 9 is no success of this attack: only what is taken for 7 counts.",
        ),
        (4 / 10, "That is the share of mistakes. Count what is taken for the target, and leave out what shows it."),
        (
            6 / 7,
            "You leave out the images that show a 7 below the line only. Leave them out when you count, too.",
        ),
        (3.0, "That is how many. Divide by how many do not show the target."),
        (300 / 7, "Return a share from 0 to 1, not per cent."),
    ]:
        if isclose(given, mistake):
            raise Wrong(explanation)
    if not isclose(given, 3 / 7):
        raise Wrong(
            f"Seven images do not show a 7, and three of those are taken for it: 3/7 = 0.43. You return {given:g}."
        )
    other = number(success(np.array([0, 0, 2, 0]), np.array([0, 1, 2, 3]), 0))
    if not isclose(other, 2 / 3):
        raise Wrong(
            f"Right for target 7. For target 0, predicted 0, 0, 2, 0 and labels 0, 1, 2, 3 it is 2/3; you return {other:g}."
        )
    return "Next to it belongs the same share for images without the mark."


q2 = Exercise(
    "Attack success",
    _check_success,
    hints=[
        "First choose the images that count: `others = labels != target`.",
        "Of those, the share with `predicted == target`: the mean of `predicted[others] == target`.",
    ],
    solution="    others = labels != target\n    return (predicted[others] == target).mean()",
)


quiz = [
    Question(
        "A model has a back door. Where does it show?",
        [
            Choice(
                "In held-out images with the mark that do not show the target",
                True,
                "Beside the same images without the mark.",
            ),
            Choice(
                "In the accuracy on clean test images", False, "It may be as good as ever: that is what a back door is for."
            ),
            Choice(
                "In all marked images, those of the target class included",
                False,
                "Those would count as success without any attack.",
            ),
        ],
    ),
    Question(
        "Why does a robust rule cost accuracy when nobody attacks?",
        [
            Choice(
                "It drops or damps honest clients",
                True,
                "Here those with many images. And it counts a client with few images like one with many.",
            ),
            Choice("It needs more rounds to detect attackers", False, "It detects nobody. It only bounds what a few can do."),
            Choice(
                "It does not: with no attacker it equals the mean",
                False,
                "Only a rule that counts on no attacker comes near that.",
            ),
        ],
    ),
    Question(
        "A single client multiplies its update by the number of clients. What is the surest remedy?",
        [
            Choice("Bound the length of every update", True, "Then no client moves the model by more than its share."),
            Choice(
                "More clients", False, "It then multiplies by more. The mean has no bound at all."
            ),
            Choice(
                "A test of clean accuracy after each round",
                False,
                "It may find the crude ones. A back door passes it.",
            ),
        ],
    ),
    Question(
        "Why does Krum not go together with secure aggregation?",
        [
            Choice(
                "It compares single updates, and the server must not see any", True, "The server learns one sum."
            ),
            Choice("It is too slow for masked numbers", False, "Speed is not the point: a masked update is noise."),
            Choice(
                "It does: distances survive the masks", False, "Then the masks would give away what they are to hide."
            ),
        ],
    ),
    Question(
        "Krum needs 2f + 2 < n. How many attackers does it stand among 20 clients?",
        [
            Choice("8", True, "2 x 8 + 2 = 18 is below 20. That is what it stands, not what it costs."),
            Choice("9", False, "2 x 9 + 2 = 20 is not below 20. 2f < n would suffice for the median."),
            Choice("10", False, "With half against half nobody can tell who is honest."),
            Choice("6", False, "That is a third, the limit in Byzantine agreement. Krum stands more."),
        ],
    ),
]  # fmt: skip
