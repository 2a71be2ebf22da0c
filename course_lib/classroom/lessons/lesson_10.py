"""Lesson 10, "One model or many": the worst tenth, and a step of Ditto; and the quiz."""

from collections.abc import Callable, Sequence
from math import isclose

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

_TWENTY = [
    0.9,
    0.5,
    0.8,
    0.95,
    0.7,
    0.85,
    0.6,
    0.92,
    0.88,
    0.97,
    0.75,
    0.81,
    0.93,
    0.99,
    0.66,
    0.79,
    0.84,
    0.91,
    0.89,
    1.0,
]


def _check_worst_tenth(worst_tenth: Callable[[Sequence[float]], float]) -> str:
    worst_tenth = function(worst_tenth)
    given = number(worst_tenth(list(_TWENTY)))
    mean = sum(_TWENTY) / len(_TWENTY)
    for mistake, explanation in [
        (0.5, "That is the worst client alone. A tenth of twenty clients is two of them: take their mean."),
        (0.6, "That is the second worst client. Take the mean of the two worst."),
        (1.1, "You added the accuracies. Divide by how many clients there are in the tenth."),
        (0.995, "Those are the best two. Sort so that the worst come first."),
        (0.7, "Those are the first two in the list. Sort it before you cut."),
        (mean, "That is the mean over all clients. Only the tenth that fares worst counts."),
    ]:
        if isclose(given, mistake):
            raise Wrong(explanation)
    if not isclose(given, 0.55):
        raise Wrong(f"Of 20 clients the worst two have 0.5 and 0.6, so the answer is 0.55; you get {given:g}.")
    few = number(worst_tenth([0.9, 0.3, 0.6]))
    if not isclose(few, 0.3):
        raise Wrong(
            f"Right for 20 clients. For the three 0.9, 0.3, 0.6 you get {few:g}, and it is 0.3: at least one client counts."
        )
    return "`fairness.spread` calls it `worst_decile`."


q1 = Exercise(
    "The worst tenth",
    _check_worst_tenth,
    hints=[
        "Sort the accuracies. How many clients are a tenth, and at least one?",
        "`sorted(values)[:n]` are the n smallest. Their mean is their sum divided by n.",
    ],
    solution="    tenth = max(1, round(len(accuracies) / 10))\n    return sum(sorted(accuracies)[:tenth]) / tenth",
)


def _check_personal_step(personal_step: Callable[[float, float, float, float, float], float]) -> str:
    personal_step = function(personal_step)
    own, shared, gradient, rate, pull = 3.0, 1.0, 3.0, 0.1, 0.5
    given = number(personal_step(own, shared, gradient, rate, pull))
    for mistake, explanation in [
        (own - rate * gradient, "That is plain SGD: nothing pulls the model towards the shared one."),
        (
            own - rate * (gradient + pull * (shared - own)),
            "The sign of the pull is wrong: it pushes the model away. The slope of pull/2 x (own - shared)^2 is pull x (own - shared).",
        ),
        (own - rate * (gradient + pull * own), "That pulls towards zero. It should pull towards `shared`."),
        (
            own - rate * gradient - pull * (own - shared),
            "The pull is part of the slope, so the learning rate scales it too.",
        ),
        (own + rate * (gradient + pull * (own - shared)), "That goes uphill: subtract the slope."),
        (
            shared - rate * (gradient + pull * (own - shared)),
            "Step from the client's own weights, not from the shared ones.",
        ),
        (
            own - rate * (gradient + 2 * pull * (own - shared)),
            "Twice too strong: the penalty is pull/2 times the square.",
        ),
        (gradient + pull * (own - shared), "That is the slope. Now take the step: own - learning_rate x slope."),
    ]:
        if isclose(given, mistake):
            raise Wrong(explanation)
    right = own - rate * (gradient + pull * (own - shared))
    if not isclose(given, right):
        raise Wrong(f"For own=3, shared=1, gradient=3, learning_rate=0.1, pull=0.5 you get {given:g}; it is {right:g}.")
    if not isclose(number(personal_step(1.0, 4.0, 0.0, 0.5, 1.0)), 2.5):
        raise Wrong("Right for one set of numbers, but not for another: use all five arguments.")
    return "With `pull=0` the client trains alone."


q2 = Exercise(
    "A step of Ditto",
    _check_personal_step,
    hints=[
        "The client minimises its loss plus pull/2 x (own - shared)^2. What is the slope of each part?",
        "own - learning_rate x (gradient + ...)",
    ],
    solution="    return own - learning_rate * (gradient + pull * (own - shared))",
)


quiz = [
    Question(
        "The mean accuracy over clients went up. What do you know about the client that fares worst?",
        [
            Choice("Nothing", True, "A mean can rise while one client falls. Look at the worst decile too."),
            Choice("It went up as well", False, "Perhaps, but the others can outweigh its fall."),
            Choice("It went down", False, "Perhaps, but it may just as well have gained."),
        ],
    ),
    Question(
        "Why does every client here get test images in its own mixture of digits?",
        [
            Choice("It will meet such images when it uses the model", True, "That is what fitting a person means."),
            Choice("Because it is harder", False, "It is easier: a client with three digits hardly meets the others."),
            Choice(
                "So that no client sees another's test images", False, "They overlap here. What matters is the mixture."
            ),
        ],
    ),
    Question(
        "Ditto with a pull of 0, and with an extremely large pull. What does a client end with?",
        [
            Choice("A model trained alone, and the shared model", True, "The pull is a dial between the two."),
            Choice(
                "The shared model, and a model trained alone",
                False,
                "The other way round: the pull ties it to the shared one.",
            ),
            Choice("The shared model in both cases", False, "Without a pull nothing ties the client's model to it."),
        ],
    ),
    Question(
        "You want to know whether federated learning pays for a client. What do you compare its accuracy with?",
        [
            Choice(
                "What it reaches alone, with the same passes over its images",
                True,
                "Joining must beat staying at home.",
            ),
            Choice(
                "The mean of all clients",
                False,
                "That ranks the clients. It does not say what joining did for this one.",
            ),
            Choice("Guessing", False, "Anything beats guessing, also a client alone."),
        ],
    ),
]
