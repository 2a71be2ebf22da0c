"""Lesson 03, "Keeping in step": a weighted mean of late gradients, time lost waiting, an outer step; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_late_mean(late_mean: Callable[[list[float], list[int]], Any]) -> str:
    late_mean = function(late_mean)
    gradients, staleness = [3.0, 1.0, 9.0], [0, 1, 3]
    weights = [1 / (1 + late) for late in staleness]
    total = sum(g * w for g, w in zip(gradients, weights, strict=True))
    right, given = total / sum(weights), number(late_mean(gradients, staleness))
    for mistake, explanation in {
        total
        / 3: "You divided by the number of gradients. Late ones count less than once, so divide by the **sum of the weights**: "
        "three equal gradients must come out as they are.",
        total: "That is the weighted sum. Divide it by the sum of the weights.",
        sum(gradients) / 3: "That is the plain mean: however late, every gradient counts the same.",
        sum(g * (1 + late) for g, late in zip(gradients, staleness, strict=True))
        / sum(1 + late for late in staleness): "Late gradients count more in yours. The weight is 1 / (1 + staleness).",
        3.0: "You took the fresh gradient alone. The late ones count too, only less.",
    }.items():
        if isclose(given, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(given, right, rel_tol=1e-6):
        raise Wrong(
            f"Gradients {gradients} that are {staleness} versions late have the mean {right:.4g}; yours is {given:.4g}."
        )
    same = number(late_mean([2.0, 2.0], [5, 9]))
    if not isclose(same, 2.0, rel_tol=1e-6):
        raise Wrong(
            f"Two gradients of 2 that are 5 and 9 versions late have the mean 2, whatever they count; yours is {same:.4g}."
        )
    return "Fresh gradients pull more, and the mean stays a mean."


q1 = Exercise(
    "A mean of late gradients", _check_late_mean,
    hints=[
        "The weights: `[1 / (1 + late) for late in staleness]`.",
        "The sum of weight x gradient, divided by the sum of the weights, not by how many there are.",
    ],
    solution=(
        "    weights = [1 / (1 + late) for late in staleness]\n"
        "    return sum(w * g for w, g in zip(weights, gradients)) / sum(weights)"
    ),
)  # fmt: skip


def _check_idle(idle: Callable[[list[float]], Any]) -> str:
    idle = function(idle)
    for seconds in ([0.1, 0.1, 0.1, 0.5], [0.2, 0.4]):
        mean, slowest, fastest = sum(seconds) / len(seconds), max(seconds), min(seconds)
        right, given = 1 - mean / slowest, number(idle(list(seconds)))
        for mistake, explanation in {
            mean / slowest: "That is the share in which they compute. They wait for the rest: 1 minus it.",
            100 * right: "That is in per cent: give a share from 0 to 1.",
            1
            - fastest
            / slowest: "That is the share that the fastest worker waits. Take the mean over all, the slowest too.",
            slowest - mean: "These are seconds a step. Divide by how long the step takes.",
            1 - fastest / mean: "A step ends when the slowest is done, not when the average worker is.",
            0.0: "You let the step end for each when it is done. In step, all wait for the slowest.",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6, abs_tol=1e-9):
                raise Wrong(explanation)
        if not isclose(given, right, rel_tol=1e-6):
            raise Wrong(
                f"Workers that need {seconds} s for a step wait {right:.1%} of their time; yours is {given:.4g}."
            )
    if not isclose(number(idle([0.3, 0.3, 0.3])), 0.0, abs_tol=1e-9):
        raise Wrong("Workers that are equally quick do not wait for each other.")
    return "Three fast workers and one that takes five times as long wait 60% of their time on average."


q2 = Exercise(
    "Time lost waiting", _check_idle,
    hints=["In step, a step takes max(seconds).", "Of that, a worker computes its own seconds: on average the mean of them."],
    solution="    return 1 - sum(seconds) / len(seconds) / max(seconds)",
)  # fmt: skip


def _check_outer_step(outer_step: Callable[[float, float, float], Any]) -> str:
    outer_step = function(outer_step)
    theta, change, momentum = 1.0, 0.5, 0.2
    given = outer_step(theta, change, momentum)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise Wrong("Return two things: the new weights and the new momentum.")
    new, kept = number(given[0]), number(given[1])
    renewed = 0.9 * momentum + change
    right = theta + 0.7 * (change + 0.9 * renewed)
    if new < theta:  # all that is given is above 0, so downhill is up here
        raise Wrong(
            "The wrong sign: this climbs. `change` is what local steps changed, so it already points downhill. A gradient points "
            "uphill, and is subtracted; this is added."
        )
    for mistake, explanation in {
        theta
        + 0.7
        * renewed: "That is plain momentum. Nesterov renews the momentum first, and then looks ahead: change + 0.9 x the new momentum.",
        theta + change: "That is the mean of the models: local SGD. The outer step has a rate and momentum.",
        theta + 0.7 * change: "The momentum is missing from the step.",
    }.items():
        if isclose(new, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(kept, renewed, rel_tol=1e-6):
        raise Wrong(
            f"From momentum 0.2 and change 0.5 the new momentum is 0.9 x 0.2 + 0.5 = {renewed:.4g}; yours is {kept:.4g}."
        )
    if not isclose(new, right, rel_tol=1e-6):
        raise Wrong(
            f"From weights 1, change 0.5 and momentum 0.2 the new weights are {right:.4g}; yours are {new:.4g}."
        )
    return "That is DiLoCo's outer step. At rate 1 without momentum it is local SGD."


q3 = Exercise(
    "DiLoCo's outer step", _check_outer_step,
    hints=[
        "First `momentum = 0.9 * momentum + change`.",
        "Then `theta + 0.7 * (change + 0.9 * momentum)`: plus, because `change` already points downhill.",
    ],
    solution="    momentum = 0.9 * momentum + change\n    return theta + 0.7 * (change + 0.9 * momentum), momentum",
)  # fmt: skip


quiz = [
    Question(
        "Eight workers are equally quick, and the server steps with each gradient as it comes. How late is a gradient, in versions?",
        [
            Choice("About 7", True, "While one worker computes, each of the other seven makes the server step once."),
            Choice("0: nobody is slow", False, "Nobody needs to be slow. The others step while you compute."),
            Choice("About 1", False, "That would be two workers."),
        ],
    ),
    Question(
        "One of four workers is five times slower. Which of these saves the others' waiting?",
        [
            Choice(
                "Merging every 10 steps instead of every step", False, "They wait ten times as long, a tenth as often."
            ),
            Choice("Asynchronous steps", True, "Nobody waits for anybody; the slow worker's gradients come late."),
            Choice("A staleness bound of 0", False, "That is keeping in step."),
        ],
    ),
    Question(
        "Which of these saves bytes for the same number of gradients?",
        [
            Choice("Asynchronous steps", False, "Every gradient still travels, and fresh weights for each."),
            Choice("Merging every 10 steps", True, "One message stands for ten gradients."),
            Choice("Momentum at the server", False, "It never leaves the server."),
        ],
    ),
    Question(
        "Training breaks after you went from 1 worker to 16 that step out of step. What do you try first?",
        [
            Choice(
                "A lower learning rate", True, "Late gradients overshoot: what was safe for fresh ones no longer is."
            ),
            Choice(
                "More momentum",
                False,
                "Momentum makes each step longer in the long run: with it, the rate has to be lower still.",
            ),
            Choice("More workers", False, "Then gradients are later still."),
        ],
    ),
]
