"""Lesson 05, "Models too big for one worker": bytes by stage, a bias once, microbatches enough; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _bytes(weights: int, workers: int, stage: int) -> float:
    """Weights 4, gradient 4, Adam's two moments 8 bytes a weight; stage 3 deals out all, 2 not the weights, 1 only Adam's."""
    whole = {0: 16, 1: 8, 2: 4, 3: 0}[stage]
    return weights * (whole + (16 - whole) / workers)


def _check_bytes(held: Callable[[int, int, int], Any]) -> str:
    held = function(held)
    for stage in range(4):
        for weights, workers in ((1_000_000, 5), (3_000_000, 8)):
            given, right = number(held(weights, workers, stage)), _bytes(weights, workers, stage)
            if not isclose(given, right, rel_tol=1e-6):
                raise Wrong(_explain_bytes(given, weights, workers, stage, right))
    if not isclose(alone := number(held(1_000_000, 1, 3)), 16_000_000, rel_tol=1e-6):
        raise Wrong(
            f"A worker alone holds everything, 16 bytes a weight, whatever the stage; yours gives {alone:,.0f}."
        )
    return "With 4 workers 16, 10, 7 and 4 bytes a weight; with ever more of them towards 16, 8, 4 and 0."


def _explain_bytes(given: float, weights: int, workers: int, stage: int, right: float) -> str:
    slips = {
        "everything dealt out. Only stage 3 does that: stage 1 deals out Adam's state, stage 2 gradients as well.":
            16 * weights / workers,
        "everything in full. Each stage from 1 on deals something out.": 16.0 * weights,
        "what all workers hold together: give one worker's.": right * workers,
        "the number of values: each takes 4 bytes.": right / 4,
        "with one moment for Adam. It keeps two, a mean and a mean of squares: 8 bytes a weight.":
            weights * (4 * (stage < 3) + 4 * (stage < 2) + 4 * (stage < 1))
            + 4 * weights * ((stage >= 1) + (stage >= 2) + (stage >= 3)) / workers,
        "what the stage before holds.": _bytes(weights, workers, max(0, stage - 1)),
        "the weights dealt out and the rest in full. It is the other way round: Adam's state goes first, weights last.":
            weights * (16 - 4 * stage + 4 * stage / workers),
        "Adam's state alone.": 8 * weights / (workers if stage else 1),
        "without what is dealt out: a worker's own part of it counts, too.": 16 * weights - (16 * weights - right) * workers / (workers - 1),
    }  # fmt: skip
    case = f"For {weights:,} weights, {workers} workers and stage {stage} you give {given:,.0f}"
    found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-6)), None)
    return f"{case}, which is {found}" if found else (
        f"{case}. Count 4 bytes for a weight, 4 for its gradient and 8 for Adam; which of them does this stage divide by {workers}?"
    )  # fmt: skip


q1 = Exercise(
    "Bytes that one worker holds", _check_bytes,
    hints=[
        "A weight takes 4 bytes, its gradient 4, and Adam keeps two numbers for it, 8 bytes.",
        "Stage 1 divides Adam's 8 by the number of workers, stage 2 the gradient's 4 as well, stage 3 all 16.",
    ],
    solution=(
        "    shared = {0: 0, 1: 8, 2: 12, 3: 16}[stage]\n"
        "    return weights * (16 - shared + shared / workers)"
    ),
)  # fmt: skip


def _check_contribution(contribution: Callable[[float, float, int, int], Any]) -> str:
    contribution = function(contribution)
    for parts, bias in (([1.0, 2.0, 3.0, 5.0], 10.0), ([0.5, -2.0], 3.0), ([7.0], 1.0)):
        workers = len(parts)
        added = [number(contribution(part, bias, rank, workers)) for rank, part in enumerate(parts)]
        total, right = sum(added), sum(parts) + bias
        if isclose(total, right, rel_tol=1e-6):
            continue
        case = f"{workers} workers with the products {', '.join(f'{part:g}' for part in parts)} and the bias {bias:g}"
        raise Wrong(f"{case}: the sum is {total:g}, but it should be {right:g}. {_explain_bias(total, parts, bias)}")
    return "Divided or left to one worker, it is there once. Megatron adds it behind the sum: one addition, no rounding more."


def _explain_bias(total: float, parts: list[float], bias: float) -> str:
    workers = len(parts)
    if isclose(total, sum(parts) + workers * bias, rel_tol=1e-6):
        return f"Every worker added the whole bias, and the sum holds it {workers} times."
    if isclose(total, sum(parts), rel_tol=1e-6):
        return "Nobody added the bias."
    if isclose(total, (sum(parts) + bias) / workers, rel_tol=1e-6) or isclose(
        total, sum(parts) / workers + bias, rel_tol=1e-6
    ):
        return "The products are added up, not averaged: each is a part of the result."
    if isclose(total, sum(parts) + (workers - 1) * bias, rel_tol=1e-6):
        return "All workers but one added it: it must be one, or all a share."
    if isclose(total, sum(parts) + bias / workers, rel_tol=1e-6):
        return "One worker added a share of the bias: let it add all of it, or all add a share."
    return "Every product must be in it once, and the bias once."


q2 = Exercise(
    "The bias, once", _check_contribution,
    hints=[
        "What all workers return is added up. How often is the bias in the sum if each adds it?",
        "Either one worker adds it (`if rank == 0`), or each adds its share (`bias / workers`).",
    ],
    solution="    return part + bias / workers",
)  # fmt: skip


def _check_fewest(fewest: Callable[[int, float], Any]) -> str:
    fewest = function(fewest)
    # Where the limit is met exactly it is a power of two: an answer must not fail for how it rounds.
    for stages, limit, right in ((4, 0.25, 9), (2, 0.15, 6), (8, 0.125, 49), (4, 0.22, 11), (3, 0.3, 5), (1, 0.1, 1)):
        given = number(fewest(stages, limit))
        if given == right:
            continue
        share = (stages - 1) / (given + stages - 1) if given + stages > 1 else 1.0
        raise Wrong(_explain_fewest(given, stages, limit, right, share))
    return "The bubble depends on the number of microbatches for each stage: about four for each keep it below a fifth."


def _explain_fewest(given: float, stages: int, limit: float, right: int, share: float) -> str:
    case = f"{stages} stages, a bubble of at most {limit:.1%}: you give {given:g}"
    if given != int(given):
        return f"{case}, but microbatches are whole: round up."
    if stages == 1:
        return f"{case}. One stage has no bubble: one microbatch is enough, and fewer than one is no batch."
    if given == right - 1:
        return f"{case}, and the bubble is {share:.1%}: just too few. Round up, not down."
    if given + stages - 1 == right:
        return f"{case}, which leaves {share:.1%}. You solved for m as if the time were m, but it is m + p - 1 pieces long."
    if given == right + stages - 1:
        return f"{case}, which is m + p - 1: the whole length. Take the p - 1 away again."
    if given > right:
        return f"{case}, which keeps it to {share:.1%}, but fewer are enough: {right}."
    return f"{case}, and the bubble is {share:.1%}. Solve (p - 1) / (m + p - 1) = limit for m."


q3 = Exercise(
    "Microbatches enough", _check_fewest,
    hints=[
        "The bubble is (p - 1) / (m + p - 1). Which m makes it just as large as the limit?",
        "m = (p - 1) / limit - (p - 1). Round up, with a hair's breadth for rounding errors, and never below 1.",
        "A loop does as well: count m up from 1 until the bubble is small enough.",
    ],
    solution=(
        "    microbatches = 1\n"
        "    while (stages - 1) / (microbatches + stages - 1) > limit + 1e-9:\n"
        "        microbatches += 1\n"
        "    return microbatches"
    ),
)  # fmt: skip


quiz = [
    Question(
        "Stage 3 sends half as much again as plain data parallel. What for?",
        [
            Choice("The gradients are sent twice", False, "Once, as in all stages: each goes to the worker that owns it."),
            Choice("Adam's state has to travel", False, "It never does: whoever owns a weight owns its state."),
            Choice("The weights are gathered twice a step", True, "Once to go forwards, once to come back; stages 1 and 2 do it once."),
        ],
    ),
    Question(
        "A model's *activations* fill the memory, not its weights. What helps?",
        [
            Choice("ZeRO stage 3 with more workers, each with as many examples", False, "Each still holds its own examples' activations."),
            Choice("1F1B in place of GPipe", True, "A stage then holds those of a few microbatches, not of all."),
            Choice("A smaller optimiser", False, "Adam's state has nothing to do with activations."),
        ],
    ),
    Question(
        "Two workers hold half of a linear layer's inputs each. What must travel for its output?",
        [
            Choice("Half of the weights", False, "Weights stay where they are: that is the point."),
            Choice("Each worker's product, to be added up", True, "An all-reduce of activations, in every layer cut like that."),
            Choice("Nothing", False, "Each has products of half of the inputs, and the output is their sum."),
        ],
    ),
    Question(
        "Four stages, and you double the microbatches from 3 to 6. The bubble was one half. What is it now?",
        [
            Choice("A quarter", False, "The time is not m but m + p - 1 pieces long: 3 of 9."),
            Choice("A third", True, "3 / (6 + 3)."),
            Choice("One half: it depends on the stages alone", False, "It would if the batch went through in one piece."),
        ],
    ),
]  # fmt: skip
