"""Lesson 15, "The dial": what a budget pays for, what goes through a link, what an interval allows one to say; and the quiz."""

from collections.abc import Callable
from math import isclose
from typing import Any

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

Link = Callable[[str, int, int], Any]


def _check_link(link_bytes: Link) -> str:
    link_bytes = function(link_bytes)
    for participants, weights in ((20, 50_890), (4, 1_000)):
        message = 4 * weights
        star, ring = 2 * message, 4 * (participants - 1) / participants * message
        given = number(link_bytes("star", participants, weights))
        for mistake, explanation in {
            message: "That is one way. A client downloads the model **and** uploads its update: twice a message.",
            star * participants: "That goes through the **server's** link. A participant's own carries two messages.",
            2.0 * weights: "You counted numbers. A weight is a float32: four bytes.",
            8.0 * star: "You counted bits.",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6):
                raise Wrong(f"Star: {explanation}")
        if not isclose(given, star, rel_tol=1e-6):
            raise Wrong(
                f"Star, {participants} participants, {weights:,} weights: {star:,.0f} bytes a round; yours is {given:,.0f}."
            )
        given = number(link_bytes("ring", participants, weights))
        for mistake, explanation in {
            ring / 2: "That is what a worker **sends**. As much comes in through the same link.",
            star: "That is the star's. In a ring everybody passes on a part at a time, 2 (n - 1) times, of 1/n of the vector each.",
            2
            * star: "Almost: in each of 2 (n - 1) turns a worker sends 1/n of the vector, so 2 (n - 1) / n of it, and gets as much.",
            4.0
            * (participants - 1)
            * message: "In each turn a worker sends only its n-th part of the vector: divide by n.",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6):
                raise Wrong(f"Ring: {explanation}")
        if not isclose(given, ring, rel_tol=1e-6):
            raise Wrong(
                f"Ring, {participants} participants, {weights:,} weights: {ring:,.0f} bytes a step; yours is {given:,.0f}."
            )
    return "Per talk a ring costs a participant about twice the star. The difference in the figure comes from how often they talk."


q1 = Exercise(
    "What goes through your link", _check_link,
    hints=[
        "A message is `4 * weights` bytes. In a star a client gets one and sends one.",
        "In a ring of n each sends 2 (n - 1) times an n-th of the vector, and gets as many: `4 * (n - 1) / n` messages in all.",
    ],
    solution=(
        "    message = 4 * weights\n"
        '    if how == "star":\n'
        "        return 2 * message\n"
        "    return 4 * (participants - 1) / participants * message"
    ),
)  # fmt: skip


def _check_affordable(affordable: Callable[[float, float, float], Any]) -> str:
    affordable = function(affordable)
    for budget, once, each, right in (
        (1000.0, 100.0, 40.0, 22),
        (1000.0, 90.0, 40.0, 22),
        (1000.0, 0.0, 40.0, 25),
        (1000.0, 200.0, 40.0, 20),
    ):
        given = number(affordable(budget, once, each))
        for mistake, explanation in {
            budget / each: "You forgot what has to be paid once, before the first round: moving the raw data.",
            float(budget // each): "You forgot what has to be paid once, before the first round: moving the raw data.",
            (budget - once) / each: "Only whole rounds count: round down.",
            float(right + 1): "That is one round too many: it would end beyond the budget.",
            float(budget // (once + each)): "The raw data moves once, not in every round.",
        }.items():
            if mistake != right and isclose(given, mistake, rel_tol=1e-9):
                raise Wrong(explanation)
        if given != right:
            raise Wrong(
                f"With a budget of {budget:g}, {once:g} to pay once and {each:g} a round, it is {right} rounds; yours is {given:g}."
            )
    if number(affordable(50.0, 100.0, 40.0)) != 0:
        raise Wrong("Where the budget does not even pay for moving the data, there are 0 rounds, not fewer.")
    return "That is how every stop was stopped at equal bytes and at equal time."


q2 = Exercise(
    "What a budget pays for", _check_affordable,
    hints=["First take off what is paid once. What is left, divided by the price of a round, rounded down.", "`max(0, int((budget - once) // each))`"],
    solution="    return max(0, int((budget - once) // each))",
)  # fmt: skip

_SAID = ("as good", "worse", "better", "cannot tell")


def _check_say(say: Callable[[float, float], Any]) -> str:
    say = function(say)
    for low, high, right, why in (
        (-0.6, 0.4, "as good", "the whole interval lies within a point"),
        (-0.9, -0.2, "as good", "it is clear of zero, but it is less than a point, and smaller differences do not count here"),
        (-3.1, -1.4, "worse", "the whole interval lies beyond the point"),
        (1.2, 2.0, "better", "the whole interval lies beyond the point, on the good side"),
        (-2.5, 0.7, "cannot tell", "zero is in it, but so is a loss of two points: no difference found is not the same as none"),
        (-1.8, -0.4, "cannot tell", "it is surely worse, but whether by more than a point is open"),
        (-0.3, 1.9, "cannot tell", "it may be as good or better"),
    ):  # fmt: skip
        given = say(low, high)
        if given not in _SAID:
            raise Wrong(
                f"Return one of {', '.join(repr(each) for each in _SAID)}; for ({low:g}, {high:g}) yours is {given!r}."
            )
        if given != right:
            raise Wrong(f"An interval from {low:+g} to {high:+g} points: '{right}', for {why}. Yours is '{given}'.")
    return "Those are the four marks of the figure. The middle of an interval alone decides nothing."


q3 = Exercise(
    "What an interval lets you say", _check_say,
    hints=[
        "Only the two ends matter, not the middle, and zero plays no part. The margin is a point on either side.",
        "`if -1 <= low and high <= 1`: as good. `if high < -1`: worse. `if low > 1`: better.",
    ],
    solution=(
        "    if -1 <= low and high <= 1:\n"
        '        return "as good"\n'
        "    if high < -1:\n"
        '        return "worse"\n'
        '    return "better" if low > 1 else "cannot tell"'
    ),
)  # fmt: skip


quiz = [
    Question(
        "FedAvg on clients that hold alike data, all taking part, is the same method as which stop of distributed training?",
        [
            Choice("Local SGD", True, "Several steps alone, then the mean of the models. Who owns the data is the only difference."),
            Choice("DDP", False, "DDP talks after every step. With one step between two talks it would be."),
            Choice("Asynchronous SGD", False, "FedAvg waits for everybody in a round."),
        ],
    ),
    Question(
        "At equal gradients two stops are equally accurate, at equal bytes one is far ahead. What does that tell you?",
        [
            Choice("It needs fewer bytes for a gradient", True, "It talks less often, or says less each time."),
            Choice("It learns more from each gradient", False, "Then it would be ahead at equal gradients."),
            Choice("One of the two measurements is wrong", False, "They answer two questions: what is scarce, computing or the network?"),
        ],
    ),
    Question(
        "The same epsilon of 8: noise for one image of 4,000, or for one of 20 clients. Why does the second cost so much more?",
        [
            Choice("A client's update is a twentieth of the sum", True,
                   "To hide a twentieth, the noise must be as large as what is left of the signal. Ten times the clients, a tenth of the noise."),
            Choice("Its epsilon is counted wrongly", False, "The number is right. It is a promise about more."),
            Choice("The server adds the noise", False, "Who adds it decides who is trusted. It costs because one unit is a large part of all."),
        ],
    ),
    Question(
        "A stop's interval reaches from -2.5 to +0.7 points. What may you say?",
        [
            Choice("Nothing yet: more seeds are needed", True, "As good and two points worse are both possible."),
            Choice("It is as good as DDP, for zero is inside", False, "Finding no difference is not finding that there is none."),
            Choice("It is 0.9 points worse", False, "That is the middle. The ends say what is known."),
        ],
    ),
    Question(
        "Secure aggregation left accuracy where it was. Is the data therefore private?",
        [
            Choice("No: the model itself can still give examples away", True, "Masks hide single updates from the server. Against what the model gives away, noise helps."),
            Choice("Yes: the server sees no update", False, "It sees their sum, and everybody gets the model (lessons 11 and 12)."),
            Choice("Yes, if epsilon is small", False, "There is no noise in it, so there is no epsilon."),
        ],
    ),
]  # fmt: skip
