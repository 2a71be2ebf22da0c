"""Exercises and quiz of lesson 09, Unreliable clients."""

from collections.abc import Callable
from math import isclose
from typing import Any

import numpy as np

from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_break_even(break_even: Callable[[int, int, int, int], float]) -> str:
    weights, round_count, cohort, size = 1000, 30, 5, 200
    right = 2 * 4 * weights * round_count * cohort / size
    given = float(break_even(weights, round_count, cohort, size))
    for mistake, explanation in {
        right / 2: "You counted one direction. The model goes down, and the update comes up.",
        right / 4: "You counted a byte a weight. It takes four.",
        right / 8: "You counted weights, not bytes: four bytes each, and two directions.",
        right * size: "These are the bytes of the run. Divide by the bytes of an example.",
        right / cohort: "You counted one client. All clients of the round send and receive.",
        right / round_count: "You counted one round.",
        1 / right: "That is upside down: the bytes of the run, divided by those of an example.",
    }.items():
        if isclose(given, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(given, right, rel_tol=0, abs_tol=1):
        raise Wrong(
            f"1,000 weights, 30 rounds of 5 clients, 200 bytes an example: {right:,.0f} examples, you return {given:,.6g}."
        )
    other = float(break_even(7850, 40, 20, 784))
    if not isclose(other, 2 * 4 * 7850 * 40 * 20 / 784, rel_tol=0, abs_tol=1):
        raise Wrong(
            f"Right for one run. For 7,850 weights, 40 rounds, 20 clients and 784 bytes you return {other:,.6g}."
        )
    return f"Logistic regression for 40 rounds of 20 clients: {other:,.0f} digits. There were 4,000."


q1 = Exercise(
    "Break-even",
    _check_break_even,
    hints=[
        "Each client of each round gets every weight, and sends every weight: how many bytes is that?",
        "The bytes of the run, `2 * 4 * weights * round_count * clients_per_round`, divided by the bytes of an example.",
    ],
    solution="    return 2 * 4 * weights * round_count * clients_per_round / bytes_an_example",
)


def _check_through_8_bits(through_8_bits: Callable[[Any], Any]) -> str:
    update = np.array([-1.27, 0.004, 0.006, 0.5, -0.018])
    given = np.asarray(through_8_bits(update.copy()), dtype=float)
    if given.shape != update.shape:
        raise Wrong(
            f"You return shape {given.shape}. The server unpacks as many numbers as there were: {update.shape}."
        )
    step = 0.01
    right = np.round(update / step) * step
    for mistake, explanation in [
        (np.round(update / step), "These are the whole numbers that travel. Multiply by `step` to unpack them."),
        (np.trunc(update / step) * step, "You cut off instead of rounding: every number shrinks. Use `np.round`."),
        (np.floor(update / step) * step, "You rounded down, so the mean of many updates drifts. Use `np.round`."),
        (update, "Nothing is rounded yet: divide by `step`, round, multiply by `step`."),
        (np.round(update / (0.5 / 127)) * (0.5 / 127), "The largest **size** counts: -1.27 is larger than 0.5. Use `np.abs`."),
        (np.round(update / (1.27 / 255)) * (1.27 / 255), "With 255 steps up to the largest there are 511 in all. Divide by 127."),
        (np.round(update / (1.27 / 128)) * (1.27 / 128), "A signed byte ends at 127. Divide by 127, not by 128."),
    ]:  # fmt: skip
        if np.allclose(given, mistake, rtol=0, atol=1e-9) and not np.allclose(mistake, right, rtol=0, atol=1e-9):
            raise Wrong(explanation)
    if not np.allclose(given, right, rtol=0, atol=1e-9):
        raise Wrong(
            f"For {update.tolist()}, with a step of 0.01, the server unpacks {right.round(4).tolist()}; you return {given}."
        )
    with np.errstate(all="ignore"):
        zeros = np.asarray(through_8_bits(np.zeros(3)), dtype=float)
    if not np.array_equal(zeros, np.zeros(3)):
        raise Wrong(
            f"An update of zeros should stay one, and you return {zeros}: where `step` is 0, do not divide by it."
        )
    return "No number is off by more than half a step, and the message is a quarter as long."


q2 = Exercise(
    "Eight bits a number",
    _check_through_8_bits,
    hints=[
        "`step = np.abs(update).max() / 127`; then `np.round(update / step)` are whole numbers from -127 to 127.",
        "Times `step` again. If `step` is 0, return the update as it is.",
    ],
    solution=(
        "    step = np.abs(update).max() / 127\n    return np.round(update / step) * step if step > 0 else update"
    ),
)

quiz = [
    Question(
        "Half of all answers are lost. When does that cost much accuracy?",
        [
            Choice("When the lost clients hold what others do not", True, "The average is then one of the others."),
            Choice(
                "Always: half of the data is gone", False, "Lost by chance, everybody is heard in some other round."
            ),
            Choice("Never: the mean does not care", False, "It is the mean of those who answered, and they differ."),
        ],
    ),
    Question(
        "A server asks 20 clients and goes on with the first 10 answers. What is the risk?",
        [
            Choice("Slow devices are hardly ever heard", True, "And what their owners hold is hardly learned."),
            Choice("The mean of 10 is wrong", False, "A mean of 10 is noisier, and as right as one of 20."),
            Choice("Late answers spoil the next round", False, "They are dropped; that is the waste, not the risk."),
        ],
    ),
    Question(
        "What does error feedback do with the numbers that top-k does not send?",
        [
            Choice("It adds them to the client's next update", True, "They wait, and are sent once they are large."),
            Choice(
                "It sends them in the next round, all of them",
                False,
                "Then nothing would be saved. They compete again.",
            ),
            Choice("It asks the server for them", False, "The server never had them."),
        ],
    ),
    Question(
        "Two hospitals hold a million large scans each and train a small model for 50 rounds. What sends fewer bytes?",
        [
            Choice("The updates", True, "Large examples and few rounds of a small model: far beyond the break-even."),
            Choice("The data, once: it goes only once", False, "Once, but it is the larger by far. Work it out."),
        ],
    ),
    Question(
        "An old phone needs 2.4 s for the messages of a round and 0.2 s for computing. What makes its round much quicker?",
        [
            Choice("A smaller message: fewer weights or fewer bits", True, "That is where the time goes."),
            Choice("A faster processor", False, "At best it saves 0.2 of 2.6 s."),
            Choice("Fewer local steps", False, "That saves computing only, and costs more rounds."),
        ],
    ),
]
