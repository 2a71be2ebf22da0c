"""Lesson 07, "Federated averaging": bytes to a target, the fewest client updates; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_megabytes(megabytes: Callable[[int, int, float, int], float]) -> str:
    given, right = float(megabytes(199_210, 100, 0.1, 87)), 2 * 4 * 199_210 * 10 * 87 / 1e6
    for mistake, explanation in {
        right / 2: "You counted one direction. The model goes down, and an update comes back.",
        right * 1e6: "That is in bytes. A megabyte here is a million bytes.",
        right * 8: "That is in megabits. A weight takes 4 bytes; leave bits out.",
        right / 4: "A weight takes 4 bytes.",
        right * 10: "You counted all clients. Only a share of them takes part in a round.",
        right / 10: "That is one client. How many take part in a round?",
        right / 87: "That is one round. Multiply by the rounds.",
        right * 1e6 / 2**20: "You divided by 2**20. A megabyte here is a million bytes.",
    }.items():
        if isclose(given, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(given, right, rel_tol=1e-6):
        raise Wrong(
            f"For the paper's 87 rounds with C = 0.1 you get {given:,.1f} MB. Count the messages of a round first."
        )
    if not isclose(float(megabytes(1_000_000, 100, 0.0, 3)), 24, rel_tol=1e-6):
        raise Wrong("Right for C = 0.1. With C = 0, one client takes part, not none: use `max(1, ...)`.")
    if not isclose(float(megabytes(1_000_000, 50, 0.5, 2)), 400, rel_tol=1e-6):
        raise Wrong("Right for the paper's run, but not for another one: use all four arguments.")
    if not isclose(float(megabytes(1_000_000, 50, 0.29 * 2, 1)), 232, rel_tol=1e-6):
        raise Wrong("58% of 50 clients are 29. On a computer 0.58 * 50 may fall just below: use `round`, not `int`.")
    return f"The paper's 87 rounds send {right:,.0f} MB. Its training images are 47 MB."


q1 = Exercise(
    "Bytes to the target",
    _check_megabytes,
    hints=[
        "First the cohort: how many clients are there in a round? At least one.",
        "Each of them causes two messages of 4 bytes a weight. Then the rounds.",
    ],
    solution="    cohort = max(1, round(participation * clients))\n    return 2 * 4 * weights * cohort * rounds / 1e6",
)

_PAPER = {0.0: 316, 0.1: 87, 0.2: 77, 0.5: 75, 1.0: 70}
_STEEP = {0.0: 5000, 0.1: 90, 0.5: 17, 1.0: 12}
_FEW = {0.1: 400, 0.2: 350, 1.0: 60}


def _check_thriftiest(thriftiest: Callable[[dict[float, int], int], Any]) -> str:
    cases: list[tuple[dict[float, int], int]] = [(_PAPER, 100), (_STEEP, 100), (_FEW, 5)]
    answers = [float(thriftiest(dict(table), clients)) for table, clients in cases]
    if answers[0] not in _PAPER:
        raise Wrong(f"You return {answers[0]:g}. Return a C, one of the dictionary's keys.")
    if answers[0] == 1.0:
        raise Wrong(
            "C = 1 needs the fewest rounds. A round then costs 100 client updates: multiply before you compare."
        )
    if answers[0] == 0.1:
        raise Wrong(
            "With C = 0 a round is one client update, not none and not ten: 316 of them are fewer than 87 x 10."
        )
    if answers[0] != 0.0:
        raise Wrong(
            f"For the paper's IID column you return C = {answers[0]:g}. Multiply each number of rounds by its cohort."
        )
    if answers[1] == 0.0:
        raise Wrong(
            "Right for the paper. But if C = 0 took 5000 rounds and C = 0.5 took 17, it would be 5000 updates against 850. "
            "Does C = 0 count as no client? Take `max(1, ...)`."
        )
    if answers[1] != 0.5:
        raise Wrong(
            f"For the rounds {_STEEP} and 100 clients, C = 0.5 needs 850 updates, the fewest; you return {answers[1]:g}."
        )
    if answers[2] != 1.0:
        raise Wrong(
            f"For the rounds {_FEW} and 5 clients, C = 1 needs 300 updates, the fewest; you return {answers[2]:g}. "
            "Did you use `clients`? Half a client cannot take part: at least one does."
        )
    return "In the paper one client a round needs 316 updates, ten need 870. Its price is 316 rounds of waiting, one after another."


q2 = Exercise(
    "The fewest client updates",
    _check_thriftiest,
    hints=[
        "How many clients work in one round, for a given C? At least one.",
        "`min(dictionary, key=function)` returns the key for which the function is smallest.",
    ],
    solution=(
        "    updates = {\n"
        "        share: rounds * max(1, round(share * clients))\n"
        "        for share, rounds in rounds_by_share.items()\n"
        "    }\n"
        "    return min(updates, key=updates.get)"
    ),
)

quiz = [
    Question(
        "When each client takes one step on all its images, FedAvg is the same as what?",
        [
            Choice("FedSGD", True, "Averaging the models after one step is stepping along the averaged gradient."),
            Choice("Training each client alone", False, "The models are still averaged after the step."),
        ],
    ),
    Question(
        "In the paper's IID column, rounds fall from 87 to 70 between C = 0.1 and C = 1. What grows tenfold?",
        [
            Choice("The work and the bytes of a round", True, "Ten times the clients train, and each sends a model."),
            Choice("The local steps of a client", False, "They depend on E, B and its images, not on C."),
        ],
    ),
    Question(
        "E goes from 1 to 5 and rounds halve. Which budget got worse?",
        [
            Choice("Bytes", False, "They are proportional to rounds, so they halve too."),
            Choice("Computing on the clients", True, "Five times the work in half the rounds is 2.5 times as much."),
        ],
    ),
    Question(
        "With IID clients, the paper's FedAvg saves more rounds against FedSGD than yours. Why?",
        [
            Choice(
                "A pass there has 60 steps, here it has 4",
                True,
                "A client with more images does more between messages.",
            ),
            Choice("Its computers were faster", False, "Rounds do not depend on the speed of a computer."),
        ],
    ),
]
