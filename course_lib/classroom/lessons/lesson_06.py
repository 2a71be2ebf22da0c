"""Lesson 06, "When machines fail, and the bill": which checkpoint to use, how often to save, the price of a point; and the quiz."""

import tempfile
from collections.abc import Callable, Sequence
from math import isclose, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question

if TYPE_CHECKING:
    from course_lib.distributed.cost import Bill


def new_folder() -> Path:
    """Return an empty folder, for files that nobody keeps."""
    return Path(tempfile.mkdtemp())


class FailedError(RuntimeError):
    """The machine fails."""


def rounds_until_done(every: int, between: float, *, seed: int, rounds_needed: int) -> int:
    """Return how many rounds are trained until all that are needed are there, with a save after each `every` and failures at random,
    `between` rounds apart on average: a run of the stored study "when_to_save"."""
    from course_lib import data, models, plans, rounds
    from course_lib.distributed.recovery import Checkpoints

    train, _ = data.load("digits")
    deal, folder = data.partitions.iid(train.y, 10), new_folder()
    plan = plans.fedavg(rounds_needed, participation=0.1, epochs=1, batch_size=10)
    chance, trained = np.random.default_rng(seed), 0
    fails_at = chance.exponential(between)

    def watch(_: int, __: int) -> None:
        nonlocal trained, fails_at
        trained += 1
        if trained >= fails_at:
            fails_at = trained + chance.exponential(between)
            raise FailedError

    while True:
        try:
            rounds.fit(
                models.logistic(), train, deal, plan, evaluate_every=rounds_needed, checkpoints=Checkpoints(folder, every),
                progress=watch,
            )  # fmt: skip
            return trained
        except FailedError:
            continue


def steps_to_target(*, rate: float, seed: int) -> int:
    """Return after how many steps one machine knows 90% of the held-out images: a run of the stored study "bill"."""
    from course_lib import data, models, plans, rounds

    train, held_out = data.hold_out(data.load("mnist5k")[0], 0.2)
    plan = plans.centralised(batch_size=32, learning_rate=rate).but(rounds=60, local_epochs=None, local_steps=25)
    deal = data.partitions.iid(train.y, 1, seed=seed)
    run = rounds.fit(models.mlp((64,)), train, deal, plan, validation=held_out, seed=seed, stop_at=0.9)
    return 25 * int(run.history["round"].iloc[-1])


# How the columns of the bill are written: the table has to fit the page.
BILL_DIGITS = {
    ("for one run", "ms"): ",.0f", ("for one run", "MB"): ",.0f", ("for one run", "mWh"): ",.0f",
    ("dollars for a million", "network"): ",.0f", ("dollars for a million", "power"): ".2f", ("dollars for a million", "a point"): "",
}  # fmt: skip


def bill_row(bills: Sequence["Bill"], accuracies: Sequence[float]) -> dict[Any, list[float]]:
    """Return a row of the bill's table: for one run what it used, for a million, since one may cost less than a cent, the money."""
    a_point = [1e6 * one.per_point(accuracy, without=0.1) for one, accuracy in zip(bills, accuracies, strict=True)]
    return {
        ("for one run", "ms"): [3.6e6 * one.machine_hours for one in bills],
        ("for one run", "MB"): [1000 * one.gigabytes for one in bills],
        ("for one run", "mWh"): [1e6 * one.kwh for one in bills],
        ("dollars for a million", "rent"): [1e6 * one.rent for one in bills],
        ("dollars for a million", "network"): [1e6 * one.network for one in bills],
        ("dollars for a million", "power"): [1e6 * one.electricity for one in bills],
        ("dollars for a million", "a point"): a_point,
    }  # fmt: skip


def _check_latest_good(latest_good: Callable[[list[str], Callable[[str], bool]], Any]) -> str:
    latest_good = function(latest_good)
    names = ["round-9", "round-30", "round-10", "round-100", "round-20"]
    asked: list[str] = []

    def is_good(name: str) -> bool:
        if name not in names:
            raise Wrong(f"You ask is_good about {name!r}: it takes a name from the list.")
        asked.append(name)
        return name not in ("round-100", "round-30")

    given = latest_good(list(names), is_good)
    for mistake, explanation in {
        "round-100": "is damaged: the latest one is of no use if it cannot be read. Ask `is_good`.",
        "round-30": "is damaged as well: go on to the next until one is good.",
        "round-9": "is the last in the order of text, where 9 comes after 10, 20 and 100. Compare the numbers.",
        "round-10": "is good, but round-20 is later, and less work is lost.",
    }.items():
        if given == mistake:
            raise Wrong(f"{given} {explanation}")
    if given in (20, "20"):
        raise Wrong("That is the number of the round: return the name, round-20.")
    if given != "round-20":
        raise Wrong(
            f"Of round-9, 10, 20, 30 and 100, of which 30 and 100 are damaged, round-20 is to be used; yours is {given!r}."
        )
    for folder, what in (([], "an empty folder"), (["round-100", "round-30"], "a folder with damaged ones only")):
        none = latest_good(folder, is_good)
        if none != "":
            raise Wrong(f"For {what} there is nothing to go on from: return an empty text, not {none!r}.")
    return "round-20: two damaged ones cost some rounds, and not the run."


q1 = Exercise(
    "Which checkpoint?", _check_latest_good,
    hints=[
        "Keep only the good ones first. Then take the one with the largest number.",
        'The number is `int(name.removeprefix("round-"))`: as text, "9" is larger than "10".',
        '`max(good, key=..., default="")` also knows what to do without any.',
    ],
    solution=(
        "    good = [name for name in names if is_good(name)]\n"
        '    return max(good, key=lambda name: int(name.removeprefix("round-")), default="")'
    ),
)  # fmt: skip


def _check_rounds_between_saves(rounds_between_saves: Callable[[float, float, float], Any]) -> str:
    rounds_between_saves = function(rounds_between_saves)
    for save, between, a_round in ((2.0, 400.0, 4.0), (0.5, 3600.0, 3.0), (30.0, 86_400.0, 60.0)):
        given, exact = number(rounds_between_saves(save, between, a_round)), sqrt(2 * save * between) / a_round
        if abs(given - exact) > 1:
            raise Wrong(_explain_interval(given, save, between, a_round, exact))
        if given != int(given):
            raise Wrong(f"{given:g} rounds: one can only save after whole ones.")
    if number(rounds_between_saves(0.001, 10.0, 60.0)) != 1:
        raise Wrong(
            "Where a round takes a minute and machines fail every ten seconds, save after each round: at least 1."
        )
    return "A save of half a minute, a failure a day, rounds of a minute: every 38 rounds, and 19 or 76 would cost little more."


def _explain_interval(given: float, save: float, between: float, a_round: float, exact: float) -> str:
    slips = {
        "seconds: divide by what a round takes.": exact * a_round,
        "without the 2: half of an interval is lost on average, and that is where it comes from.": exact / sqrt(2),
        "without the square root.": 2 * save * between / a_round,
        "once for each failure: then a failure costs half of all the work since the last one.": between / a_round,
        "as often as a save takes: then half of the time goes into saving.": save / a_round,
        "upside down: what saving costs times how often machines fail.": a_round / (exact * a_round),
        "the failures' share of it: both M and C stand under the root.": sqrt(2 * between) / a_round,
    }  # fmt: skip
    found = next((text for text, value in slips.items() if abs(given - value) <= max(0.5, 0.001 * value)), None)
    case = f"A save of {save:g} s, a failure every {between:g} s, rounds of {a_round:g} s: yours is {given:g}"
    return f"{case}, which is {found}" if found else f"{case}. Young: sqrt(2 C M) seconds, that is {exact:.1f} rounds."


q2 = Exercise(
    "How often to save", _check_rounds_between_saves,
    hints=[
        "Young's formula gives seconds: `(2 * save * between) ** 0.5`.",
        "Divide by `a_round`, then `round(...)`, and take at least 1: `max(1, ...)`.",
    ],
    solution="    return max(1, round((2 * save * between) ** 0.5 / a_round))",
)  # fmt: skip


def _check_price_of_a_point(price_of_a_point: Callable[..., Any]) -> str:
    price_of_a_point = function(price_of_a_point)
    for case in ((4, 2.5, 0.1, 75.0, 0.02, 0.9), (1, 10.0, 0.3, 0.0, 0.02, 0.6), (2, 1.0, 0.0, 200.0, 0.09, 0.35)):
        machines, hours, an_hour, gigabytes, a_gigabyte, accuracy = case
        rent, network, points = machines * hours * an_hour, gigabytes * a_gigabyte, 100 * (accuracy - 0.1)
        given, right = number(price_of_a_point(*case)), (rent + network) / points
        slips = {
            "the rent of one machine: all of them are paid.": (hours * an_hour + network) / points,
            "the price of a share from 0 to 1: a point is a hundredth of it.": 100 * right,
            "counted from 0: guessing has 10% already, and is free.": (rent + network) / (100 * accuracy),
            "without the network.": rent / points,
            "without the machines.": network / points,
            "upside down: points for one unit of money.": points / (rent + network),
            "the whole bill: divide by the points that it bought.": rent + network,
        }  # fmt: skip
        if isclose(given, right, rel_tol=1e-6):
            continue
        found = next((text for text, value in slips.items() if isclose(given, value, rel_tol=1e-6)), None)
        said = f"{machines} machines for {hours:g} h at {an_hour:g}, {gigabytes:g} GB at {a_gigabyte:g}, accuracy {accuracy:g}"
        raise Wrong(
            f"{said}: yours is {given:g}, " + (f"which is {found}" if found else f"but a point costs {right:.4g}.")
        )
    return "Two and a half dollars for 80 points above guessing: about three cents a point."


q3 = Exercise(
    "The price of a point", _check_price_of_a_point,
    hints=[
        "The bill: `machines * hours * an_hour + gigabytes * a_gigabyte`.",
        "From 10% to `accuracy` there are `100 * (accuracy - 0.1)` points.",
    ],
    solution="    return (machines * hours * an_hour + gigabytes * a_gigabyte) / (100 * (accuracy - 0.1))",
)  # fmt: skip


quiz = [
    Question(
        "A new checkpoint is written, and only then takes the old one's name. The power fails while it is being written. What is there afterwards?",
        [
            Choice("Half of the new checkpoint, under its name", False, "That half has another name still."),
            Choice("The old checkpoint, whole", True, "Its name was never touched. The unfinished file can be swept away."),
            Choice("Nothing", False, "That is what may be left by writing over the old file."),
        ],
    ),
    Question(
        "SCAFFOLD is resumed from its weights alone, and the accuracy in the end is as good as ever. Was the checkpoint good enough?",
        [
            Choice("Yes, accuracy is what counts", False, "It is another run than the one that was planned, and no two can be compared any more."),
            Choice("No, only equal weights show that nothing is missing", True, "Accuracy forgives much. That is why it finds no such mistake."),
        ],
    ),
    Question(
        "A cluster grows from 10 machines to 1,000, and each fails as often as before. How often should it save?",
        [
            Choice("As often as before", False, "Some machine now fails a hundred times as often, and takes the run with it."),
            Choice("Ten times as often", True, "M is a hundredth, and the interval goes with its root."),
            Choice("A hundred times as often", False, "The interval goes with the root of M, not with M."),
        ],
    ),
    Question(
        "Four workers are three times as fast as one, all machines cost the same, and the network is free. Which costs less rent?",
        [
            Choice("Four workers: they are done sooner", False, "Four are paid for a third of the time: four thirds of the rent."),
            Choice("One machine", True, "Below a speed-up of four, four machines cost more than one. They buy time."),
            Choice("The same", False, "Only if they were four times as fast."),
        ],
    ),
]  # fmt: skip
