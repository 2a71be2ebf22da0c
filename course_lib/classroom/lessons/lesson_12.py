"""Lesson 12, "Differential privacy": what may leave the room, and when to stop; and the quiz."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

Release = Callable[[Tensor, float, float, Tensor, float], Tensor]


def _check_release(release: Release) -> str:
    release = function(release)
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, -2.0]])  # norms 5, 0.5 and 2
    noise, bound, multiplier, expected = torch.tensor([1.0, -1.0]), 1.5, 0.5, 4.0
    given = _vector(release(gradients.clone(), bound, multiplier, noise.clone(), expected))
    scaled = gradients * (bound / gradients.norm(dim=1, keepdim=True)).clamp(max=1)
    shrunk, added = scaled.sum(0), multiplier * bound * noise
    whole = gradients.sum(0)
    normalised = gradients / gradients.norm(dim=1, keepdim=True)
    to_one = gradients * (1 / gradients.norm(dim=1, keepdim=True)).clamp(max=1)
    for mistake, explanation in [
        ((shrunk + added) / 3, "You divided by the real size of the batch, which tells whether somebody is in it."),
        (shrunk / expected, "There is no noise in it: whoever compares two answers sees one example's gradient."),
        ((shrunk + noise) / expected, "The noise must be multiplied by noise_multiplier and bound."),
        (
            (shrunk + multiplier * noise) / expected,
            "The noise must be multiplied by `bound` as well: a larger bound lets one example pull further.",
        ),
        ((shrunk + bound * noise) / expected, "The noise must be multiplied by noise_multiplier as well."),
        ((to_one.sum(0) + added) / expected, "You clipped to length 1. The length that a row may keep is `bound`."),
        (shrunk / expected + added, "The noise belongs to the sum. You added it after dividing: far too much."),
        (shrunk + added, "That is the sum. Divide by `expected`."),
        ((whole + added) / expected, "Nothing is clipped: one large gradient can stick out of any noise."),
        (
            (whole * min(1.0, bound / float(whole.norm())) + added) / expected,
            "You clipped the sum. Clip each row by itself, or one example can still push all others aside.",
        ),
        (
            (gradients.clamp(-bound, bound).sum(0) + added) / expected,
            "You cut off single numbers. Scale the whole row, so that its length is at most `bound`.",
        ),
        (
            (normalised.sum(0) * bound + added) / expected,
            "You also stretched the short row. One within the bound stays as it is.",
        ),
    ]:
        if torch.allclose(given, mistake, atol=1e-4):
            raise Wrong(explanation)
    right = (shrunk + added) / expected
    if not torch.allclose(given, right, atol=1e-4):
        raise Wrong(f"For the three gradients of the check it should be {right.tolist()}; you get {given.tolist()}.")
    empty = _vector(release(torch.zeros(0, 2), bound, multiplier, noise.clone(), expected))
    if not torch.allclose(empty, added / expected, atol=1e-4):
        raise Wrong("Right, but a batch without examples must release noise alone: that it was empty is a secret too.")
    still = _vector(release(torch.zeros(1, 2), bound, multiplier, noise.clone(), expected))
    if not torch.allclose(still, added / expected, atol=1e-4):
        raise Wrong("Right, but a gradient of zeros gives what is not a number: do not divide by its length of 0.")
    return "`ExampleLevel.gradient` does this; in linear layers it never holds one example's gradient."


def _vector(given: object) -> Tensor:
    if not isinstance(given, Tensor) or given.shape != (2,):
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise Wrong(f"Return one vector, as long as a gradient: for the check (2,), not {shape}.")
    return given.float()


q1 = Exercise(
    "What may leave the room",
    _check_release,
    hints=[
        "Three steps: shorten each row to `bound`, add the noise to the sum of rows, divide.",
        "A row's factor is `(bound / norm).clamp(max=1)`. The noise is noise_multiplier x bound x `noise`.",
    ],
    solution=(
        "    norms = gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)\n"
        "    total = (gradients * (bound / norms).clamp(max=1)).sum(0)\n"
        "    return (total + noise_multiplier * bound * noise) / expected"
    ),
)


def _check_rounds_within(rounds_within: Callable[[float, Callable[[int], float]], int]) -> str:
    rounds_within = function(rounds_within)

    def spent(rounds: int) -> float:
        return 0.8 * rounds**0.5  # 0.8, 1.13, 1.39, 1.6 ... 2.99, 3.1, 3.2

    given = number(rounds_within(3.15, spent))
    for mistake, explanation in [
        (16, "After round 16 epsilon is 3.2: the budget is already exceeded. Stop before that round."),
        (3, "You count as if each round cost as much as the first. Ask `spent` for all rounds together."),
        (2, "What `spent` returns is already for all rounds so far: do not add them up."),
        (14, "After round 15 epsilon is 3.1, which is still within the budget."),
    ]:
        if given == mistake:
            raise Wrong(explanation)
    if given != 15:
        raise Wrong(f"With a budget of 3.15, 15 rounds spend 3.1 and 16 spend 3.2, so it is 15; you get {given:g}.")
    for budget, right, why in [(0.5, 0, "not even the first round fits"), (1.6, 4, "spending it all is allowed")]:
        other = number(rounds_within(budget, spent))
        if other != right:
            raise Wrong(f"Right for a budget of 3.15. For {budget:g} it is {right}, for {why}; you get {other:g}.")
    return "`plan.but(budget=Budget(epsilon=3.15))` stops a run in the same place."


q2 = Exercise(
    "Stop in time",
    _check_rounds_within,
    hints=[
        "Look one round ahead: may round `done + 1` still be run?",
        "Start at `done = 0`. While `spent(done + 1) <= budget`, count one more.",
    ],
    solution=("    done = 0\n    while spent(done + 1) <= budget:\n        done += 1\n    return done"),
)


quiz = [
    Question(
        "A model was trained with epsilon = 3 for one example. A hospital gave 40 images of one patient. What is promised to her?",
        [
            Choice(
                "A weaker promise: the unit is one image",
                True,
                "40 images together can shift the result far more than one. A promise to her needs the user as its unit.",
            ),
            Choice("Epsilon = 3: she is in the data set", False, "The promise is about one image added or removed."),
            Choice("Epsilon = 3 / 40", False, "The other way round: more images of hers reveal more, not less."),
        ],
    ),
    Question(
        "Why is the clipped sum divided by the expected batch size and not by the real one?",
        [
            Choice(
                "The real size tells whether an example was in the batch",
                True,
                "It changes with every example, without any noise on it.",
            ),
            Choice("The expected size is larger", False, "It is larger about half of the time."),
            Choice("To train faster", False, "It hardly matters for training. It is the accounting that breaks."),
        ],
    ),
    Question(
        "An audit finds epsilon >= 1.5 at 95% confidence; the accountant says 3. What follows?",
        [
            Choice("The two do not contradict each other", True, "An audit can only show that a claim is false."),
            Choice("The true epsilon is 1.5", False, "It is at least that. A better attack may find more."),
            Choice("The implementation is correct", False, "No bug was found. That is not the same as none."),
        ],
    ),
    Question(
        "Each of ten clients adds its own noise, instead of one owner of all images. Same epsilon. Why does it cost more accuracy?",
        [
            Choice(
                "Each client's sum is a tenth, but its noise is as large",
                True,
                "Averaging ten noises helps, but not as much as one noise for all.",
            ),
            Choice(
                "Clients' epsilons add up",
                False,
                "Each image is with one client only, so its epsilon is that client's.",
            ),
            Choice(
                "The server trusts nobody",
                False,
                "Trust decides who adds the noise. The cost comes from how often it is added.",
            ),
        ],
    ),
]
