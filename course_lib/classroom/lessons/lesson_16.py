"""Lesson 16, "Hybrid and leaderless": what a node keeps, a round of push-sum; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

import numpy as np

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_kept(kept: Callable[[list[int]], Any]) -> str:
    kept = function(kept)
    for degrees in ([2, 4, 1], [5, 5]):
        own = len(degrees)
        right, given = 1 - sum(1 / (1 + max(own, degree)) for degree in degrees), number(kept(list(degrees)))
        for mistake, explanation in {
            1 - right: "That is what the node takes from its neighbours. It keeps the rest: 1 minus it.",
            1
            / (
                1 + own
            ): "That is a plain mean over the node and its neighbours: rows then add up to 1, but columns do not, and the mean "
            "over all nodes drifts. Each link weighs 1 / (1 + the larger of the two degrees).",
            1
            - sum(
                1 / (1 + degree) for degree in degrees
            ): "You used the neighbours' degrees alone. A link weighs the same from both ends, "
            "so it goes by the larger of the two.",
            1
            - sum(
                1 / (1 + min(own, degree)) for degree in degrees
            ): "You took the smaller of the two degrees. With the larger one nobody gives away more than it has.",
            1
            - sum(
                1 / max(own, degree) for degree in degrees
            ): "The node itself counts too: 1 / (1 + the larger degree).",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6, abs_tol=1e-9) and not isclose(mistake, right, rel_tol=1e-6):
                raise Wrong(explanation)
        if not isclose(given, right, rel_tol=1e-6, abs_tol=1e-9):
            raise Wrong(
                f"A node whose {own} neighbours have {degrees} neighbours each keeps {right:.4g} of its own model; yours is {given:.4g}."
            )
    ring = number(kept([2, 2]))
    if not isclose(ring, 1 / 3, rel_tol=1e-6):
        raise Wrong(f"On a ring everybody keeps a third; yours is {ring:.4g}.")
    return "On a ring everybody keeps a third, and at the tip of a star with 15 arms fifteen sixteenths."


q1 = Exercise(
    "What a node keeps", _check_kept,
    hints=[
        "The node has `len(degrees)` neighbours. A link to one with `degree` neighbours weighs `1 / (1 + max(len(degrees), degree))`.",
        "What it keeps is 1 minus the weights of all its links.",
    ],
    solution="    return 1 - sum(1 / (1 + max(len(degrees), degree)) for degree in degrees)",
)  # fmt: skip


def _pushed(held: list[float], targets: list[list[int]]) -> list[float]:
    got = [0.0] * len(held)
    for node, amount in enumerate(held):
        for other in (node, *targets[node]):
            got[other] += amount / (1 + len(targets[node]))
    return got


def _one_after_the_other(held: list[float], targets: list[list[int]]) -> list[float]:
    """What comes of adding into the list that is still read from."""
    got = list(held)
    for node, others in enumerate(targets):
        got[node] /= 1 + len(others)
        for other in others:
            got[other] += got[node]
    return got


def _check_push(push: Callable[[list[float], list[list[int]]], Any]) -> str:
    push = function(push)
    held, targets = [12.0, 6.0, 2.0], [[1, 2], [2], [0]]
    right = _pushed(held, targets)
    given = _numbers(push(list(held), [list(own) for own in targets]), 3)
    without_own = [sum(held[i] / len(targets[i]) for i in range(3) if j in targets[i]) for j in range(3)]
    whole = [held[j] + sum(held[i] for i in range(3) if j in targets[i]) for j in range(3)]
    heard = [[j, *(i for i in range(3) if j in targets[i])] for j in range(3)]
    pulled = [float(np.mean([held[i] for i in own])) for own in heard]
    sent_only = [held[j] + sum(held[i] / (1 + len(targets[i])) for i in range(3) if j in targets[i]) for j in range(3)]
    for mistake, explanation in (
        (without_own, "The node keeps a share as well: split what it holds by one more than it sends to."),
        (
            whole,
            "You hand out what is held as a whole, several times over. Split it: the sum over all nodes must stay what it is.",
        ),
        (
            pulled,
            "That is a plain mean over what one hears: who is heard by many gets more say. In push-sum the **sender** splits what it holds.",
        ),
        (sent_only, "The shares are right, but the node still holds all that it had. It keeps one share."),
        (
            _one_after_the_other(held, targets),
            "You passed on in the same round what had only just come in. Everybody splits what it held **before**: collect in a new list.",
        ),
        (held, "Nothing has moved. Give a share to each target."),
    ):
        if np.allclose(given, mistake):
            raise Wrong(explanation)
    if not np.allclose(given, right):
        raise Wrong(
            f"From {held}, with targets {targets}, everybody holds {_rounded(right)}; yours is {_rounded(given)}."
        )
    alone = _numbers(push([5.0, 1.0], [[], [0]]), 2)
    if not np.allclose(alone, [5.5, 0.5]):
        raise Wrong(
            f"A node that sends to nobody keeps all: [5, 1] with targets [[], [0]] becomes [5.5, 0.5], not {_rounded(alone)}."
        )
    return "Run it on the values and on weights that begin at 1, and divide: that is push-sum."


def _numbers(given: Any, count: int) -> list[float]:
    try:
        found = [float(one) for one in given]
    except (TypeError, ValueError):
        raise Wrong(f"Return a list of {count} numbers, one a node.") from None
    if len(found) != count:
        raise Wrong(f"Return one number a node: {count}, not {len(found)}.")
    return found


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


q2 = Exercise(
    "A round of push-sum", _check_push,
    hints=[
        "Begin with a list of zeros, and add each sender's share to itself and to its targets.",
        "A node with `targets[node]` splits what it holds into `1 + len(targets[node])` equal shares.",
    ],
    solution=(
        "    got = [0.0] * len(held)\n"
        "    for node, amount in enumerate(held):\n"
        "        for other in [node, *targets[node]]:\n"
        "            got[other] += amount / (1 + len(targets[node]))\n"
        "    return got"
    ),
)  # fmt: skip


quiz = [
    Question(
        "Two graphs have 16 nodes. In one everybody has 2 neighbours, in the other 4. What decides how fast they come to agree?",
        [
            Choice(
                "The spectral gap of the mixing matrix",
                True,
                "It says what is left of a disagreement after each round, at worst.",
            ),
            Choice(
                "The number of links alone",
                False,
                "A torus and a random graph can have as many links, and differ. A long graph with many links can still be slow.",
            ),
            Choice(
                "The number of weights in the model",
                False,
                "That decides the bytes of a message, not how often one must talk.",
            ),
        ],
    ),
    Question(
        "Node 3 sends to two others and hears from one. Everybody averages what it hears with equal weights. What goes wrong?",
        [
            Choice(
                "Some count more than others in what everybody ends at",
                True,
                "Rows add up to 1, columns do not. Push-sum mends it with a weight that travels the same way.",
            ),
            Choice(
                "Nothing: an average is an average", False, "Everybody agrees, but on a mean in which some count more."
            ),
            Choice("They never agree", False, "On a connected graph they do. Only not on the mean."),
        ],
    ),
    Question(
        "In gossip there is no server. Who sees a client's own model?",
        [
            Choice(
                "Its neighbours, in every round",
                True,
                "There is no party that sees all, but each client is seen by those next to it.",
            ),
            Choice("Nobody", False, "A neighbour gets the whole model, and lesson 11 shows what that can give away."),
            Choice("Everybody", False, "Only on the complete graph."),
        ],
    ),
    Question(
        "Four silos of four clients pool their data inside, and average their models after each pass. Against federated averaging of sixteen, "
        "what is given up?",
        [
            Choice(
                "Raw data leaves its client, within the silo",
                True,
                "That is the price: a breach of a silo exposes four clients' data.",
            ),
            Choice("Bytes on the slow link", False, "There are fewer: four updates instead of sixteen."),
            Choice("The exactness of the average", False, "The cloud averages by examples, as before."),
        ],
    ),
]
