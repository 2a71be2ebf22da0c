"""Lesson 13, "Secure aggregation": what mends a sum, a threshold, and levels that fit; and the quiz."""

from collections.abc import Callable, Mapping

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

_RING = 2**32


def _check_mend(mend: Callable[[int, Mapping[int, int]], int]) -> str:
    mend = function(mend)
    masks = {0: 100, 1: 2_000, 3: 4_000_000_000, 4: 30_000}
    lower, higher = 2_100, 4_000_030_000
    given = number(mend(2, dict(masks)))
    for mistake, explanation in [
        (
            (higher - lower) % _RING,
            "Those stand in the others' messages already. Add what the lost client would have sent: plus for lower clients.",
        ),
        (
            lower - higher,
            "The signs are right. Take the result modulo 2^32: `% 2**32`.",
        ),
        (
            lower + higher,
            "You added every mask. The lost client would have subtracted those that it shares with higher clients.",
        ),
        (
            (lower + higher) % _RING,
            "You added every mask. The lost client would have subtracted those that it shares with higher clients.",
        ),
        (
            -(lower + higher) % _RING,
            "You subtracted every mask. The lost client would have added those that it shares with lower clients.",
        ),
    ]:
        if given == mistake:
            raise Wrong(explanation)
    if given != (lower - higher) % _RING:
        raise Wrong(
            f"For lost=2 and masks={masks} you get {given}; it is 100 + 2000 - 4000000000 - 30000, modulo 2^32: {(lower - higher) % _RING}."
        )
    few = number(mend(0, {1: 5, 2: 7}))
    if few != _RING - 12:
        raise Wrong(
            f"Right for lost=2. For lost=0 and masks={{1: 5, 2: 7}} you get {few}; it is -12, modulo 2^32: {_RING - 12}."
        )
    return "The lost client's message, without its vector. `_remove_pair_masks` of the library's server does the same."


q1 = Exercise(
    "Mend the sum",
    _check_mend,
    hints=[
        "All masks cancel when everybody's message is added. Which masks would have stood in the lost client's message, with which signs?",
        "Add `masks[k]` for k < lost, subtract it for k > lost. In the end `% 2**32`.",
    ],
    solution="    return sum(mask if k < lost else -mask for k, mask in masks.items()) % 2**32",
)


def _check_threshold(smallest_threshold: Callable[[int, int, int], int]) -> str:
    smallest_threshold = function(smallest_threshold)

    given = number(smallest_threshold(10, 2, 6))
    for mistake, explanation in [
        (6, "Six colluders would hold six shares, and six open a secret. The threshold must be above their number."),
        (8, "That is the largest threshold that stands the loss of 2. The smallest was asked for."),
        (
            0,
            "There is one: with 10 clients of which 2 are lost, 8 are left, and a threshold above 6 is not above 8.",
        ),
    ]:
        if given == mistake:
            raise Wrong(explanation)
    if given != 7:
        raise Wrong(f"For clients=10, lost=2, colluding=6 you get {given}; 6 colluders need 7 to be stopped.")
    for (clients, lost, colluding), right, why in [
        ((10, 2, 1), 6, "it must be above half of the clients, whoever colludes"),
        ((9, 2, 1), 5, "above half of nine is five"),
        ((10, 3, 6), 7, "7 are left, and 7 are enough"),
        ((10, 4, 6), 0, "only 6 are left, and 7 would be needed"),
        ((10, 5, 1), 0, "only 5 are left, and 5 is not above half of 10"),
    ]:
        given = number(smallest_threshold(clients, lost, colluding))
        if given != right:
            raise Wrong(
                f"Right for 10 clients, 2 lost, 6 colluding. For clients={clients}, lost={lost}, colluding={colluding} "
                f"you get {given}; it is {right}: {why}."
            )
    return (
        "Bonawitz et al. want it above two thirds where the server itself may break the rules. And no threshold helps the last "
        "honest client in a sum: all others subtract what they sent."
    )


q2 = Exercise(
    "Choose the threshold",
    _check_threshold,
    hints=[
        "Three conditions: above half of the clients, above the number of colluders, and at most as many as are left.",
        "`max(clients // 2 + 1, colluding + 1)` meets the first two. Does it meet the third, `clients - lost`?",
    ],
    solution=(
        "    threshold = max(clients // 2 + 1, colluding + 1)\n"
        "    return threshold if threshold <= clients - lost else 0"
    ),
)


def _check_levels(most_levels: Callable[[int, int], int]) -> str:
    most_levels = function(most_levels)
    given = number(most_levels(10, 600))
    for mistake, explanation in [
        ((_RING - 1) // 10, "You left out the weight: a client with weight 600 sends 600 times its value."),
        ((_RING - 1) // 600, "You left out the clients: ten such numbers are added."),
        (_RING - 1, "That is room for one number. Ten are added, each with a weight of up to 600."),
        ((2**31 - 1) // 6_000, "That is for 2^31. The levels already reach from the negative to the positive bound."),
        ((_RING - 1) / 6_000, "Levels are a whole number: divide with `//`."),
        (_RING / 6_000, "Levels are a whole number: divide with `//`."),
        ((_RING - 1) // 6_000 + 1, "You rounded up, so clients x weight x levels is above 2^32. Round down: `//`."),
    ]:
        if given == mistake:
            raise Wrong(explanation)
    if given != (_RING - 1) // 6_000:
        raise Wrong(f"For 10 clients and a largest weight of 600 you get {given}; it is {(_RING - 1) // 6_000}.")
    whole = number(most_levels(16, 1))
    if whole == _RING // 16:
        raise Wrong("Right for 6,000, but 16 x 2^28 is 2^32 itself, and it must stay below: divide 2^32 - 1.")
    if whole != (_RING - 1) // 16:
        raise Wrong(f"Right for 10 clients. For 16 clients with weight 1 you get {whole}; it is {(_RING - 1) // 16}.")
    return "`Quantiser.finest` does this."


q3 = Exercise(
    "Levels that fit",
    _check_levels,
    hints=[
        "In the worst case every client sends the largest weight times all levels. How many such numbers fit below 2^32?",
        "Below 2^32 means at most 2^32 - 1. Divide that by clients x weight, and round down.",
    ],
    solution="    return (2**32 - 1) // (clients * largest_weight)",
)


quiz = [
    Question(
        "Why does a client's message look like noise to the server, although the server passed on all keys?",
        [
            Choice(
                "It saw the public keys alone, and a mask takes one of the two private ones",
                True,
                "And a number plus a uniform one, modulo 2^32, is uniform.",
            ),
            Choice(
                "The message is encrypted, and only the other clients can open it",
                False,
                "Nobody opens it: it is only ever added up.",
            ),
            Choice(
                "Random noise was added, which averages out",
                False,
                "Nothing is averaged out: masks cancel to the last bit.",
            ),
        ],
    ),
    Question(
        "A client's masked vector has arrived. Which of its two secrets may the others help to reveal?",
        [
            Choice(
                "The seed of its own mask",
                True,
                "Its pair masks cancel with those of the others, or are removed with the lost ones.",
            ),
            Choice(
                "The secret behind its pair masks",
                False,
                "That one is for clients whose vector did not arrive; here it would go towards baring it.",
            ),
            Choice("Both, to be safe", False, "Both together bare its vector. A client refuses that."),
            Choice("Neither", False, "Then its own mask would stay in the sum."),
        ],
    ),
    Question(
        "Of 12 clients 8 are left, and the threshold is 9. What does the server get?",
        [
            Choice("Nothing: the round ends without a sum", True, "The masks of the lost clients cannot be removed."),
            Choice("The sum of the 8", False, "It takes 9 shares to remove the masks of each lost client."),
            Choice("A sum that is a little off", False, "What is left of a mask is uniform noise, not a small error."),
        ],
    ),
    Question(
        "A server runs a round with 100 clients, and repeats it, with the same model, without one of them. What does it learn?",
        [
            Choice(
                "That client's update, as far as the others send the same again",
                True,
                "The masks did their work. The two sums give it away.",
            ),
            Choice(
                "Nothing: each sum is protected", False, "Each single vector is. The difference of two sums is not."
            ),
            Choice(
                "Nothing, since a threshold of the clients would have to collude",
                False,
                "No client has to collude: subtracting is enough.",
            ),
        ],
    ),
    Question(
        "One client of 50 sends an update that is to spoil the model. What does secure aggregation do about it?",
        [
            Choice(
                "Nothing: it even keeps the server from finding out who it was",
                True,
                "No rule may look at single vectors.",
            ),
            Choice("It leaves the odd one out", False, "To leave it out somebody would have to see it."),
            Choice(
                "The bound makes it harmless", False, "The bound limits each value, not the direction of the whole."
            ),
        ],
    ),
]
