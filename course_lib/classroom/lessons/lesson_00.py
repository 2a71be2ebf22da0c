"""Lesson 00, "Two ways to train together": megabytes of a run, a weighted average, a break-even; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

import torch

from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_megabytes(megabytes: Callable[[int, int, int], float]) -> str:
    given = float(megabytes(50_890, 4, 10))
    right = 2 * 4 * 50_890 * 4 * 10 / 1e6
    mistakes = {
        right / 2: "You counted one direction. The model travels down and the update travels up.",
        right * 1e6: "That is in bytes. A megabyte here is a million bytes.",
        right * 8: "That is in megabits. A weight takes 4 bytes; leave bits out.",
        right / 4: "You left out something: how many bytes does a weight take, how many owners take part?",
        right * 1e6 / 2**20: "You divided by 2**20. A megabyte here is a million bytes.",
        right / 10: "That is one round. Multiply by the rounds.",
    }
    for mistake, explanation in mistakes.items():
        if isclose(given, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(given, right, rel_tol=1e-6):
        raise Wrong(
            f"For 50,890 weights, 4 owners and 10 rounds you get {given:,.2f} MB. Count the messages of a round first."
        )
    if not isclose(float(megabytes(7, 3, 2)), 2 * 4 * 7 * 3 * 2 / 1e6, rel_tol=1e-6):
        raise Wrong("Right for this lesson's run, but not for another size: use all three arguments.")
    return f"This lesson's federated run sends {right:.1f} MB."


q1 = Exercise(
    "Bytes of a federated run",
    _check_megabytes,
    hints=[
        "How many messages does one participant cause in one round?",
        "Two messages, each of 4 bytes a weight. Then participants, then rounds.",
    ],
    solution="    return 2 * 4 * weights * participants * rounds / 1e6",
)


def _check_average(average: Callable[[list[Any], list[int]], Any]) -> str:
    hospital, clinic = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    given = torch.as_tensor(average([hospital, clinic], [900, 100])).double()
    if given.shape != (2,):
        raise Wrong(
            f"The average of two updates with 2 numbers each has 2 numbers; yours has shape {tuple(given.shape)}."
        )
    for mistake, explanation in [
        ([0.5, 0.5], "You took the plain mean. The hospital holds nine times as many images: it counts nine times."),
        ([900.0, 100.0], "You added up size times update. Divide by all the images."),
        ([0.1, 0.9], "The weights are the wrong way round: the larger owner counts more."),
        ([450.0, 50.0], "You divided by the number of owners. Divide by the number of images."),
    ]:
        if torch.allclose(given, torch.tensor(mistake).double(), atol=1e-5):
            raise Wrong(explanation)
    if not torch.allclose(given, torch.tensor([0.9, 0.1]).double(), atol=1e-5):
        raise Wrong(f"For the hospital and the clinic you get {[round(value, 3) for value in given.tolist()]}.")
    three = torch.as_tensor(average([hospital, clinic, clinic], [10, 20, 10])).double()
    if not torch.allclose(three, torch.tensor([0.25, 0.75]).double(), atol=1e-5):
        raise Wrong("Right for two owners, but not for three: do not assume that there are two.")
    return "The hospital's update counts nine times the clinic's."


q2 = Exercise(
    "The server's average",
    _check_average,
    hints=[
        "Multiply each update by its owner's number of images before you add.",
        "Then divide by the number of images of all owners together.",
    ],
    solution="    return sum(update * size for update, size in zip(updates, sizes)) / sum(sizes)",
)


def _check_break_even(number: Any) -> str:
    if isinstance(number, float) and not number.is_integer():
        raise Wrong("Rounds come whole. After which round has FL sent more than the data?")
    if number == 7:
        raise Wrong("Seven rounds send 11.4 MB, still less than 12.6 MB.")
    if number != 8:
        raise Wrong(f"{number} rounds send {1.63 * float(number):.1f} MB. The data is 12.6 MB.")
    return "From round 8 on, sending the images once would have been cheaper."


q3 = Exercise(
    "Break-even",
    _check_break_even,
    hints=["Divide the data's size by the size of a round.", "12.6 / 1.63 is between 7 and 8. Which side is more?"],
    solution="rounds_until_dearer = 8",
)

quiz = [
    Question(
        "What does a worker send in synchronous distributed training?",
        [
            Choice(
                "Its images", False, "They are dealt out before training; during training they stay where they are."
            ),
            Choice("A gradient, after every step", True, "All workers then take the same averaged step."),
            Choice("Its weights, once at the end", False, "The workers would drift apart: they average at every step."),
        ],
    ),
    Question(
        "Why does an owner with more images count more in the server's average?",
        [
            Choice("It has the better model", False, "Nobody knows whose model is better; size is all that is used."),
            Choice("Then each image counts the same", True, "The average stands for the loss over everybody's images."),
            Choice("It pays more", False, "Nothing is paid. The weights only reflect the number of images."),
        ],
    ),
    Question(
        "The data is ten times larger, model and rounds are the same. What happens to FL's bytes?",
        [
            Choice("They grow tenfold", False, "Updates are as large as the model, whatever the data."),
            Choice("They stay the same", True, "So the larger the data, the better FL looks in bytes."),
        ],
    ),
]
