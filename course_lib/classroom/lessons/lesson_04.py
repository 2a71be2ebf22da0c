"""Exercises and quiz of lesson 04, Saying less."""

from collections.abc import Callable
from math import isclose
from typing import Any

import numpy as np

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_random_k(random_k: Callable[[Any, Any], Any]) -> str:
    vector, places = np.array([4.0, -1.0, 0.5, 2.0, -3.0, 0.25, 1.0, -0.5]), np.array([6, 1])
    kept, received = vector.copy(), _vector(function(random_k)(vector.copy(), places.copy()), len(vector))
    if not np.any(received):
        raise Wrong("You return zeros: the numbers at `places` did arrive.")
    alone = np.zeros(len(vector))
    alone[places] = kept[places]
    right = alone * len(vector) / len(places)
    for mistake, explanation in [
        (alone, "You put the numbers in as they are, so on average a quarter arrives: what is never said is lost, unless it is made up for."),
        (alone * len(places) / len(vector), "That is upside down: the numbers should count more, not less."),
        (alone * len(vector), "You count each number as often as there are numbers. Divide by how many are sent."),
        (alone / len(places), "You divide by how many are sent. How many of how many are sent?"),
        (kept, "You return the whole vector, but only the numbers at `places` were sent."),
        (kept * len(vector) / len(places), "Only the numbers at `places` were sent; the others are zero."),
    ]:  # fmt: skip
        if np.allclose(received, mistake):
            raise Wrong(explanation)
    if not np.allclose(received, right):
        raise Wrong(
            f"For {kept.tolist()} and the places {places.tolist()}, the receiver holds {right.tolist()}; yours {received.tolist()}."
        )
    whole = _vector(random_k(vector.copy(), np.arange(len(vector))), len(vector))
    if not np.allclose(whole, kept):
        raise Wrong(f"Where all 8 places are sent, the vector should arrive as it was; yours is {whole.tolist()}.")
    _check_average(random_k)
    return "Wrong in each message, right on average: over many draws, every number arrives in full."


def _check_average(random_k: Callable[[Any, Any], Any]) -> None:
    """Raise Wrong for an answer that is right in the first cases alone: all single places average to the vector."""
    vector = np.array([1.0, -2.0, 5.0])
    mean = np.mean([_vector(random_k(vector.copy(), np.array([place])), 3) for place in range(3)], axis=0)
    if not np.allclose(mean, vector):
        raise Wrong(f"Over all places, one at a time, {vector.tolist()} becomes {mean.round(3).tolist()} on average.")


q1 = Exercise(
    "Right on average",
    _check_random_k,
    hints=[
        "Begin with zeros, and put in what arrives.",
        "With 2 of 8 places, each number is sent a quarter of the time. How often must it count then?",
        "Times `len(vector) / len(places)`.",
    ],
    solution=(
        "    received = np.zeros(len(vector))\n"
        "    received[places] = vector[places] * len(vector) / len(places)\n"
        "    return received"
    ),
)


def _check_with_feedback(with_feedback: Callable[[Any, Any, Any], Any]) -> str:
    with_feedback = function(with_feedback)
    gradient, residual = np.array([1.0, -0.4, 0.3, 0.2]), np.array([0.1, -0.3, 0.4, 0.0])
    received, left = _two(with_feedback(gradient.copy(), residual.copy(), _largest), len(gradient))
    right, rest = _largest(gradient + residual), gradient + residual - _largest(gradient + residual)
    if np.allclose(received, _largest(gradient)) and not np.allclose(received, right):
        raise Wrong("You pack the gradient alone, so what was kept is never said. Add the residual first.")
    if np.allclose(received, rest) and np.allclose(left, right):
        raise Wrong("The other way round: first what the others receive, then what is kept.")
    if not np.allclose(received, right):
        raise Wrong(
            f"The others receive `lossy` of gradient plus residual, {right.tolist()}; yours {received.tolist()}."
        )
    for mistake, explanation in [
        (gradient - right, "You keep what this gradient lacks, and forget what was kept before."),
        (residual, "You keep the old residual: what this gradient could not say is lost."),
        (np.zeros(4), "You keep nothing: what was not sent is thrown away."),
        (gradient + residual, "You keep what was sent as well, so it would be said twice."),
        (right - gradient - residual, "The sign: what is left is what was wanted, minus what was received."),
    ]:
        if np.allclose(left, mistake):
            raise Wrong(explanation)
    if not np.allclose(left, rest):
        raise Wrong(f"What is left is what was wanted minus what was received, {rest.tolist()}; yours {left.tolist()}.")
    total, kept = np.zeros(4), np.zeros(4)
    for _ in range(50):
        received, kept = _two(with_feedback(gradient.copy(), kept, _largest), 4)
        total += received
    if not np.allclose(total + kept, 50 * gradient):
        raise Wrong("Right once, but over 50 steps, all that was received and the residual should be all gradients.")
    return "Over 50 steps, all that was received and what is left are all gradients: nothing is lost for good."


def _largest(vector: Any) -> Any:
    """Send the largest number in size, alone."""
    vector = np.asarray(vector, dtype=float)
    sent = np.zeros(len(vector))
    place = int(np.abs(vector).argmax())
    sent[place] = vector[place]
    return sent


q2 = Exercise(
    "Feedback for any packing",
    _check_with_feedback,
    hints=[
        "The worker packs what it wants to say: the gradient and what it still owes.",
        "`wanted = gradient + residual`; the others receive `lossy(wanted)`.",
        "What is left is `wanted` minus what they received.",
    ],
    solution="    wanted = gradient + residual\n    received = lossy(wanted)\n    return received, wanted - received",
)


def _check_pays_below(pays_below: Callable[[float, float, float], Any]) -> str:
    pays_below = function(pays_below)
    for whole, packed, seconds in ((300_000, 12_000, 0.004), (1e9, 1e7, 0.5)):
        given, right = float(number(pays_below(whole, packed, seconds))), (whole - packed) / seconds
        for mistake, explanation in {
            whole / seconds: "You count all bytes as saved. The packed ones are sent all the same.",
            packed
            / seconds: "These are the bytes that are sent. It is those that are **not** sent that pay for packing.",
            (packed - whole) / seconds: "The sign: what is saved is `whole - packed`.",
            seconds / (whole - packed): "That is upside down: bytes a second are bytes over seconds.",
            (whole - packed) * seconds: "Bytes times seconds is no speed: divide.",
            whole / packed: "That is how many times fewer bytes are sent. Seconds must come in.",
            8 * (whole - packed) / seconds: "In bits: a byte has eight. The question asks for bytes.",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6):
                raise Wrong(explanation)
        if not isclose(given, right, rel_tol=1e-6):
            raise Wrong(
                f"{whole:,.0f} bytes, or {packed:,.0f} and {seconds} s of packing: {right:,.0f} bytes a second; yours {given:,.6g}. "
                "At that speed, both steps take equally long."
            )
    return (
        "288,000 bytes less for 4 ms of packing: it pays below 72 MB a second, on an office network of 125 it does not."
    )


q3 = Exercise(
    "Where packing pays",
    _check_pays_below,
    hints=[
        "At the speed asked for, both steps take equally long: `whole / speed` and `packed / speed + seconds`.",
        "Solve for the speed: the bytes that are saved, over the seconds that saving them takes.",
    ],
    solution="    return (whole - packed) / seconds",
)


def _vector(answer: Any, length: int) -> Any:
    found = np.asarray(answer, dtype=float)
    if found.shape != (length,):
        raise Wrong(
            f"You return shape {found.shape}; the receiver needs a vector as long as the gradient: ({length},)."
        )
    return found


def _two(answer: Any, length: int) -> tuple[Any, Any]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("Return two vectors: what the others receive, and the new residual.")
    return _vector(answer[0], length), _vector(answer[1], length)


quiz = [
    Question(
        "A number of the gradient is small in every step, and always points the same way. What becomes of it under top-k?",
        [
            Choice("With feedback it is sent now and then, in one piece", True, "It adds up until it is among the largest."),
            Choice("It is lost, with feedback as well", False, "Feedback keeps it: the residual grows until it is sent."),
            Choice("It is sent each time, rounded", False, "Top-k rounds nothing. It sends few numbers, as they are."),
        ],
    ),
    Question(
        "A way of packing is right on average (unbiased). What does that promise of one message?",
        [
            Choice("That it is close to the gradient", False, "It may be far off: one bit at random is larger than what it packs."),
            Choice("Nothing; of many, that their errors cancel", True, "The mean gets closer with the root of their number."),
            Choice("That training is as accurate as without", False, "Noise costs steps, and often a smaller rate."),
        ],
    ),
    Question(
        "Workers grow from 4 to 64. Whose bytes a worker stay nearly the same?",
        [
            Choice("Thin matrices (PowerSGD)", True, "They add up, so an all-reduce carries them."),
            Choice("The largest 1% with their places", False, "They go to everybody: 63 messages instead of 3."),
            Choice("Both", False, "Only what adds up fits into an all-reduce."),
        ],
    ),
    Question(
        "Packing takes 5 ms and saves 1 MB a step. The network carries 1 GB/s. Does it pay?",
        [
            Choice("Yes: 1 MB is a lot", False, "At 1 GB/s it takes 1 ms, and packing takes 5."),
            Choice("No", True, "1 MB in 5 ms are 200 MB/s: it pays on networks slower than that."),
        ],
    ),
]  # fmt: skip
