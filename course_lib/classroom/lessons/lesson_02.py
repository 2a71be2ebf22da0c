"""Lesson 02, "Data parallel": a ring that runs the other way, the bytes it sends, the linear scaling rule; and the quiz."""

from collections.abc import Callable
from math import isclose
from numbers import Integral
from typing import Any

import numpy as np

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question
from course_lib.distributed.scaling import Amdahl
from course_lib.learning import Interval


def speed_up(
    law: Amdahl, workers: float, work: float, network: tuple[float, float], size: float, hidden: float
) -> Interval:  # fmt: skip
    """Return how many times as fast so many workers are as one, by a fitted law and a ring all-reduce over a network.

    `work`: times the computing that the law was fitted to; `network`: bytes a second, and seconds a trip; `size`: of the gradient, in
    bytes; `hidden`: the share of talking, 0 to 1, that can hide behind the computing.
    """
    rate, delay = network
    talk = 2 * (workers - 1) * (size / workers / rate + delay)

    def faster(stays: np.ndarray, shared: np.ndarray) -> np.ndarray:
        own = work * shared / workers
        seen = np.maximum((1 - hidden) * talk, talk - own)
        return (stays + work * shared) / (stays + own + seen)

    return law.line.of(faster)


def _check_chunks(chunks: Callable[[int, int, int], Any]) -> str:
    chunks = function(chunks)
    for workers in (5, 3, 2):
        # held[worker][chunk]: how often each worker's contribution is in it
        held = [[[int(who == worker) for who in range(workers)] for _ in range(workers)] for worker in range(workers)]
        for step in range(2 * (workers - 1)):
            plan = [_pair(chunks(worker, step, workers), worker, step, workers) for worker in range(workers)]
            parcels = [list(held[worker][give]) for worker, (give, _) in enumerate(plan)]
            for worker, (_, take) in enumerate(plan):
                sender = (worker + 1) % workers
                _check_agreement(plan, sender, worker, step, workers)
                adding = step < workers - 1
                old, new = held[worker][take], parcels[sender]
                held[worker][take] = [a + b for a, b in zip(old, new, strict=True)] if adding else new
        _check_complete(held, workers)
    return "Every worker ends with every sum, and sends as many bytes as before: the direction makes no difference."


def _pair(given: Any, worker: int, step: int, workers: int) -> tuple[int, int]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise Wrong(f"Return two chunk numbers, the one to give and the one to take; yours returned {given!r}.")
    if not all(isinstance(chunk, Integral) for chunk in given):
        raise Wrong(f"Chunk numbers are whole; yours returned {tuple(given)!r}.")
    give, take = (int(chunk) for chunk in given)
    if not (0 <= give < workers and 0 <= take < workers):
        raise Wrong(
            f"With {workers} workers, worker {worker} should give chunk {give} and take chunk {take} in step {step}, but "
            f"chunks go from 0 to {workers - 1}: after the last comes the first (% workers)."
        )
    if give == take:
        raise Wrong(
            f"In step {step}, worker {worker} gives chunk {give} and takes the same one: nothing would move on."
        )
    return give, take


def _check_agreement(plan: list[tuple[int, int]], sender: int, receiver: int, step: int, workers: int) -> None:
    give, take = plan[sender][0], plan[receiver][1]
    if give == take:
        return
    right = (receiver - 1) % workers
    if plan[right][0] == take:
        raise Wrong(
            f"That is a ring to the right: in step {step} of {workers} workers, worker {receiver} takes chunk {take}, which "
            f"worker {right} on its left gives. Here it gets what worker {sender} on its right gives."
        )
    raise Wrong(
        f"In step {step} of {workers} workers, worker {sender} gives chunk {give} to worker {receiver} on its left, who "
        f"takes it for chunk {take}: different parts of the gradient would be added."
    )


def _check_complete(held: list[list[list[int]]], workers: int) -> None:
    for worker, chunks in enumerate(held):
        for chunk, counts in enumerate(chunks):
            if counts != [1] * workers:
                listed = ", ".join(f"{count} x worker {who}" for who, count in enumerate(counts) if count)
                raise Wrong(
                    f"Both neighbours agree on what travels, but with {workers} workers, worker {worker} ends with chunk "
                    f"{chunk} made of {listed}. What a worker took in one step it must give in the next."
                )


q1 = Exercise(
    "The ring, the other way round", _check_chunks,
    hints=[
        "In step 0 a worker can give the chunk with its own number. Its neighbour must take just that one.",
        "What you took in step 0 you give in step 1. The chunk comes from the right, where the numbers are higher.",
        "So give chunk rank + step, and take the one after it. Do not forget % workers.",
    ],
    solution="    return (rank + step) % workers, (rank + step + 1) % workers",
)  # fmt: skip


def _check_ring_bytes(ring_bytes: Callable[[int, int], Any]) -> str:
    ring_bytes = function(ring_bytes)
    for weights, workers in ((1_000_000, 4), (60_000, 3), (1_000_000, 50)):
        given, right = number(ring_bytes(weights, workers)), 2 * (workers - 1) / workers * 4 * weights
        if not isclose(given, right, rel_tol=1e-6):
            raise Wrong(_explain_bytes(given, weights, workers, right))
    alone = number(ring_bytes(1_000_000, 1))
    if alone:
        raise Wrong(f"A worker alone sends nothing; yours gives {alone:,.0f} bytes.")
    return "With 4 workers 6 MB, with 50 workers 7.84 MB, and never more than 8 MB, for a gradient of 4 MB."


def _explain_bytes(given: float, weights: int, workers: int, right: float) -> str:
    size = 4 * weights
    slips = {
        "what all workers send together: give one worker's share.": right * workers,
        "one trip round the ring. The chunks go round twice: once to be added, once to be handed out.": right / 2,
        "the number of weights that travel: each takes 4 bytes.": right / 4,
        "in bits: a byte has eight.": 8 * right,
        "in megabytes: give bytes.": right / 1e6,
        "twice the gradient. But in each trip there is one chunk of the gradient that a worker need not send.": 2.0 * size,
        "what the root sends when it hands out the mean: in the ring, nobody sends that much.": size * (workers - 1.0),
        "a trip of whole gradients: in each of the 2 (n - 1) steps only a chunk travels, 1/n of it.":
            2.0 * size * (workers - 1),
        "with n steps a trip: after n - 1 steps every chunk has met everybody.": 2.0 * size * workers / (workers - 1),
        "one chunk. How many chunks does a worker send?": size / workers,
    }  # fmt: skip
    found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-6)), None)
    case = f"For {weights:,} weights and {workers} workers"
    return f"{case} you give {given:,.0f}, which is {found}" if found else (
        f"{case} you give {given:,.0f}. Count: how many bytes has a chunk, and how many chunks does a worker send?"
    )  # fmt: skip


q2 = Exercise(
    "Bytes that one worker sends", _check_ring_bytes,
    hints=[
        "The gradient has 4 bytes a weight and is cut into as many chunks as there are workers.",
        "A worker sends one chunk a step. There are n - 1 steps to add, and n - 1 to hand out.",
    ],
    solution="    return 2 * (workers - 1) * 4 * weights / workers",
)  # fmt: skip


def _check_learning_rate(learning_rate: Callable[[int], Any]) -> str:
    learning_rate = function(learning_rate)
    for workers in (1, 4, 8):
        given, right = number(learning_rate(workers)), 0.05 * workers
        if not isclose(given, right, rel_tol=1e-6):
            raise Wrong(_explain_rate(given, workers, right))
    for workers in (16, 20, 32, 1000):
        given, right = number(learning_rate(workers)), min(0.05 * workers, 0.8)
        if not isclose(given, right, rel_tol=1e-6):
            over = "above 0.8, where training breaks down: stop there" if given > right else "too low: 0.8 is allowed"
            raise Wrong(f"{workers} workers get {given:g}, which is {over}.")
    return "From 16 workers on the rate stays at 0.8, and more workers only mean fewer steps."


def _explain_rate(given: float, workers: int, right: float) -> str:
    slips = {
        "the rate of one worker: it has to grow with the batch.": 0.05,
        "the square-root rule: the linear one multiplies the rate by the same factor as the batch.": 0.05 * workers**0.5,
        "a rate that shrinks as the batch grows: it has to grow.": 0.05 / workers,
        "25 times too high: the batch grows from 25 to 25 x workers, so by a factor of workers.": right * 25,
        "25 times too low: the batch grows from 25 to 25 x workers, so by a factor of workers.": right / 25,
        "the limit. It is for many workers only: take the smaller of the two.": 0.8,
    }  # fmt: skip
    found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-6)), None)
    return f"{workers} workers get {given:g}, which is {found}" if found else (
        f"{workers} workers have a batch {workers} times as large, so their rate is {right:g}; yours is {given:g}."
    )  # fmt: skip


q3 = Exercise(
    "The linear rule, with a limit",
    _check_learning_rate,
    hints=["By what factor does the batch of one step grow?", "min(a, b) is the smaller of two numbers."],
    solution="    return min(0.05 * workers, 0.8)",
)


quiz = [
    Question(
        "A ring grows from 10 to 100 workers. What happens to the bytes that each of them sends?",
        [
            Choice("Ten times as many", False, "That is the root's burden. In a ring, the chunks get smaller."),
            Choice("Hardly any more", True, "From 1.8 to 1.98 times the gradient."),
            Choice("A tenth", False, "Each chunk is a tenth, but ten times as many are sent."),
        ],
    ),
    Question(
        "The same ring of 100 workers, for a gradient of 1 kB. Is the ring a good choice?",
        [
            Choice(
                "Yes, it sends the fewest bytes", False, "At 1 kB nobody notices bytes. It takes 198 trips in a row."
            ),
            Choice("No, the trips take too long", True, "Each trip costs a delay; a tree or a root needs far fewer."),
        ],
    ),
    Question(
        "DDP, uneven shards, and nobody scales the loss. What happens?",
        [
            Choice("Nothing, DDP weighs by examples", False, "It does not know how many examples each worker had."),
            Choice("It stops with an error", False, "Worse: it runs, and nothing tells you."),
            Choice(
                "Examples on small shards count more", True, "Each worker's mean counts the same, however few made it."
            ),
        ],
    ),
    Question(
        "One worker computes for 90 ms a step and would talk for 10 ms. What is the most that sharing can gain?",
        [
            Choice("As many times as there are workers", False, "Only computing shrinks. The 10 ms stay."),
            Choice("About 9 times", True, "90 ms shrink towards 0, and 10 ms remain: 90 / 10."),
            Choice("About 1.1 times", False, "That would be the gain from making talking free."),
        ],
    ),
]
