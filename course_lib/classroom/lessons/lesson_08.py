"""Lesson 08, "When clients differ": where FedAvg settles, and FedNova's server; and the quiz."""

from collections.abc import Callable, Sequence
from math import isclose
from typing import Any

import numpy as np

from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

_TWO = ([2.0, -1.0], [1.0, 4.0])


def _check_settles(settles: Callable[[Sequence[float], Sequence[float], int, float], float]) -> str:
    many = float(settles(*_TWO, 200, 0.1))
    few = float(settles(*_TWO, 5, 0.1))
    one = float(settles(*_TWO, 1, 0.1))
    left = [(1 - 0.1 * curvature) ** 5 for curvature in _TWO[1]]
    right = sum((1 - rest) * optimum for rest, optimum in zip(left, _TWO[0], strict=True)) / (2 - sum(left))
    for mistake, explanation in {
        0.5: "This is the midpoint of the optima. FedAvg gets there only with very many steps: use the shares w.",
        -0.4: "This is the true optimum, where FedAvg ends with one step a round. With five steps it does not.",
        sum(rest * optimum for rest, optimum in zip(left, _TWO[0], strict=True)) / sum(left): (
            "You weighted by what is left of the way, (1 - rate x curvature)^steps. Weight by what has been walked: 1 minus it."
        ),
        right * (2 - sum(left)): "You added the weighted optima up. Divide by the sum of the weights.",
        right * (2 - sum(left)) / 2: "You divided by the number of clients. Divide by the sum of the weights.",
    }.items():
        if isclose(few, mistake, rel_tol=1e-6):
            raise Wrong(explanation)
    if not isclose(few, right, rel_tol=1e-6):
        raise Wrong(
            f"Optima 2 and -1, curvatures 1 and 4, five steps of 0.1: FedAvg settles at {right:.3f}, you return {few:.3f}."
        )
    if not (isclose(many, 0.5, rel_tol=1e-6) and isclose(one, -0.4, rel_tol=1e-6)):
        raise Wrong(
            f"Right for 5 steps, but for 1 step you return {one:.3f}, not -0.4, and for 200 {many:.3f}, not 0.5."
        )
    if not isclose(float(settles([3.0, 0.0, 0.0], [2.0, 2.0, 2.0], 7, 0.1)), 1.0, rel_tol=1e-6):
        raise Wrong("Right for two clients. Three with equal curvatures settle at the mean of their optima, 1.")
    return "From the true optimum, -0.4, to the midpoint, 0.5, as the steps grow. Check it against the sliders."


q1 = Exercise(
    "Where FedAvg settles",
    _check_settles,
    hints=[
        "First the list of shares: `[1 - (1 - rate * c) ** steps for c in curvatures]`.",
        "Then a weighted mean of the optima: the sum of share x optimum, divided by the sum of the shares.",
    ],
    solution=(
        "    shares = [1 - (1 - rate * curvature) ** steps for curvature in curvatures]\n"
        "    return sum(share * optimum for share, optimum in zip(shares, optima)) / sum(shares)"
    ),
)  # fmt: skip


def _check_fednova(fednova: Callable[[Any, Any, Any], Any]) -> str:
    changes, sizes, steps = np.array([[8.0, 0.0], [0.0, 1.0]]), np.array([30.0, 10.0]), np.array([8.0, 2.0])
    given = np.asarray(fednova(changes.copy(), sizes.copy(), steps.copy()), dtype=float)
    if given.shape != (2,):
        raise Wrong(f"You return shape {given.shape}. The server needs one change for each weight, here (2,).")
    share = sizes / sizes.sum()
    per_step, typical = (share / steps) @ changes, float(share @ steps)
    for mistake, explanation in [
        (share @ changes, "This is FedAvg. Divide each change by the client's steps first."),
        (per_step, "These are changes per step. Scale them up again: by the weighted mean of the steps."),
        (per_step * steps.mean(), "You scaled up by the plain mean of the steps. Weight it by the sizes too."),
        (per_step * steps.sum(), "You scaled up by the sum of all steps. Take their weighted mean."),
        ((changes / steps[:, None]).mean(0) * typical, "You averaged without the sizes. A larger client counts more."),
        (sizes / steps @ changes * float(sizes @ steps), "Turn the sizes into shares first: divide by their sum."),
    ]:
        if np.allclose(given, mistake):
            raise Wrong(explanation)
    if not np.allclose(given, per_step * typical):
        raise Wrong(
            f"Changes (8, 0) in 8 steps and (0, 1) in 2, sizes 30 and 10: the server adds {per_step * typical}, you return {given}."
        )
    alike = np.asarray(fednova(changes, sizes, np.array([4.0, 4.0])), dtype=float)
    if not np.allclose(alike, share @ changes):
        raise Wrong("Right for unequal steps. With equal steps it should be FedAvg: the mean weighted by the sizes.")
    return (
        "With equal steps it is FedAvg. Here the client with few steps is scaled up: its two steps are taken for 6.5."
    )


q2 = Exercise(
    "FedNova's server",
    _check_fednova,
    hints=[
        "Three lines: the clients' shares of all images; the weighted mean of the changes per step; the weighted mean of the steps.",
        "`weights @ changes` is a weighted sum of the rows. The weights are `share / steps`.",
    ],
    solution=(
        "    share = sizes / sizes.sum()\n"
        "    per_step = (share / steps) @ changes\n"
        "    return per_step * (share @ steps)"
    ),
)  # fmt: skip


quiz = [
    Question(
        "Two clients' optima lie far apart, but their losses have the same curvatures. Many local steps. FedAvg settles where?",
        [
            Choice("At the true optimum", True, "Both go the same share of their way, so the pulls still cancel."),
            Choice(
                "Away from it: the optima are apart",
                False,
                "Distance alone does no harm. Unequal shares of the way do.",
            ),
        ],
    ),
    Question(
        "What does FedProx change in a client's step?",
        [
            Choice(
                "It adds a pull back to the server's model", True, "`mu` times the distance walked since the download."
            ),
            Choice(
                "It corrects the step by what other clients do",
                False,
                "That is SCAFFOLD. FedProx knows nothing of others.",
            ),
            Choice(
                "It divides the change by the number of steps", False, "That is FedNova, and it happens at the server."
            ),
        ],
    ),
    Question(
        "As published, SCAFFOLD sends twice the bytes of FedAvg. Which of them could be left out?",
        [
            Choice(
                "Half of the upload",
                True,
                "With option II the server can work out each new control variate from the client's weights.",
            ),
            Choice(
                "Half of the download",
                False,
                "A client needs the model and everybody's control variate, and can work out neither.",
            ),
            Choice(
                "Nothing",
                False,
                "The server knows what it sent and receives the weights: the change of the control variate follows.",
            ),
        ],
    ),
    Question(
        "Half of the clients call a 4 a 9, and a 9 a 4. What mends the shared model's accuracy on everybody's labels?",
        [
            Choice("Nothing does", True, "One model gives an image one name, wherever and however it is trained."),
            Choice("SCAFFOLD", False, "It corrects drift. These clients' optima really contradict each other."),
            Choice("All images on one machine", False, "One machine meets the same contradiction, and loses as much."),
        ],
    ),
    Question(
        "Seed by seed, strategy A is +1.2 ± 3.0 points ahead of B, over five seeds. What do you conclude?",
        [
            Choice("I cannot tell: it takes more seeds", True, "From -1.8 to +4.2 everything is possible."),
            Choice("A is better", False, "For that the interval would have to clear 0, and it begins at -1.8."),
            Choice(
                "They are equally good",
                False,
                "For that the whole interval would have to lie within the margin of 1 point.",
            ),
        ],
    ),
]
