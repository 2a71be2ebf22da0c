"""Lesson 00, "Two ways to train together": megabytes of a run, a weighted average, a break-even; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

import torch

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong, short
from course_lib.classroom.quizzes import Choice, Question


def _check_megabytes(megabytes: Callable[[int, int, int], float]) -> str:
    given = number(function(megabytes)(50_890, 4, 10))
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
    if not isclose(number(megabytes(7, 3, 2)), 2 * 4 * 7 * 3 * 2 / 1e6, rel_tol=1e-6):
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


def _vector(answer: Any) -> torch.Tensor:
    """Return an average as a vector. Raises Wrong for what holds no numbers."""
    try:
        return torch.as_tensor(answer).double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"The average is an update, such as a tensor of 2 numbers; yours is {short(answer)}.") from error


def _check_average(average: Callable[[list[Any], list[int]], Any]) -> str:
    hospital, clinic = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    given = _vector(function(average)([hospital, clinic], [900, 100]))
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
    three = _vector(average([hospital, clinic, clinic], [10, 20, 10]))
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


def _check_break_even(rounds: Any) -> str:
    given = number(rounds)
    if given == 12:
        return "From round 12 on, sending the X-rays once would have taken fewer bytes."
    if not float(given).is_integer():
        raise Wrong("Rounds come whole. After which round has FL sent more than the X-rays?")
    for mistakes, explanation in {
        (11,): "Eleven rounds send 3,960 MB, still less than the X-rays' 4,000 MB.",
        (22, 23): "You counted one direction. The model goes to each hospital, and an update of its size comes back.",
        (44, 45): "You counted one hospital. All four take part in every round.",
        (88, 89): "You counted one message a round. Four hospitals each receive the model and send an update.",
        (2, 3): "You counted a weight's 4 bytes once more. The model's 45 MB are bytes already.",
    }.items():
        if given in mistakes:
            raise Wrong(explanation)
    raise Wrong(
        f"{given:g} rounds send {360 * given:,.0f} MB, and the X-rays are 4,000 MB. How many messages does a round have?"
    )


q3 = Exercise(
    "Break-even",
    _check_break_even,
    hints=[
        "In a round, the model goes to four hospitals and four updates come back: eight messages of 45 MB.",
        "4,000 MB / 360 MB is between 11 and 12. Which side is more?",
    ],
    solution="rounds_until_more = 12",
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
