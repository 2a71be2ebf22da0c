"""Lesson 17, "Choosing": what a thief gets, when moving records is cheaper, a defence against one's own table; and the quiz."""

from collections.abc import Callable, Sequence
from math import ceil, floor, isclose
from typing import Any

from course_lib.classroom.answers import function, number
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.lessons.uses import STORIES, Uses
from course_lib.classroom.quizzes import Choice, Question
from course_lib.classroom.stored import stored
from course_lib.study import choosing, tables


def _check_exposed(exposed: Callable[[list[int], str], Any]) -> str:
    exposed = function(exposed)
    for sizes in ([100, 300, 400, 200], [50, 50]):
        total, most = sum(sizes), max(sizes)
        pooled, separate = number(exposed(list(sizes), "DML")), number(exposed(list(sizes), "FL"))
        for given, right in ((pooled, 1.0), (separate, most / total)):
            if isclose(given, 100 * right) and not isclose(given, right):
                raise Wrong("That is in per cent: give a share from 0 to 1.")
        if isclose(separate, 0.0):
            raise Wrong(
                "You let nobody steal anything under FL. Raw records never leave their owners, so they lie **with their owners**: a thief who "
                "breaks into one gets that owner's."
            )
        if isclose(separate, 1.0) and len(sizes) > 1:
            raise Wrong("Under FL one break-in opens one owner's store, not all of them.")
        if isclose(separate, 1 / len(sizes)) and not isclose(most / total, 1 / len(sizes)):
            raise Wrong("Owners are not equally large, and the worst case is asked for: the one who holds most.")
        if not isclose(pooled, 1.0):
            raise Wrong(
                f"In one place lies everything: the share is 1, yours is {pooled:.4g} for owners of {sizes} records."
            )
        if not isclose(separate, most / total):
            raise Wrong(
                f"Owners of {sizes} records: the worst single break-in gets {most / total:.4g} of them, yours is {separate:.4g}."
            )
    return "One break-in is bounded by the largest owner, and there are more doors to guard."


q1 = Exercise(
    "What one break-in gets", _check_exposed,
    hints=[
        "Under DML all records lie in one place. Under FL each owner's lie with that owner.",
        "The worst single break-in under FL: `max(sizes) / sum(sizes)`.",
    ],
    solution='    return 1.0 if way == "DML" else max(sizes) / sum(sizes)',
)  # fmt: skip


def _check_break_even(break_even: Callable[[int, int, int], Any]) -> str:
    break_even = function(break_even)
    for records, numbers, weights in ((600, 16, 20_000), (1000, 784, 1000)):
        right, given = records * numbers / (2 * weights), number(break_even(records, numbers, weights))
        for mistake, explanation in {
            2 * right: "You counted one direction. In a round the model comes down and goes up: two times its weights.",
            right
            / 4: "You gave four bytes to the weights alone: a number of a record takes four as well, so bytes cancel out.",
            4 * right: "You gave four bytes to the records alone: a weight takes four as well, so bytes cancel out.",
            float(ceil(right)): "Do not round: half a round is half a round here.",
            float(floor(right)): "Do not round: half a round is half a round here.",
            1 / right: "Upside down: the bytes of the records over those of a round.",
            records / (2 * weights): "A record has several numbers: the records are records x numbers.",
        }.items():
            if isclose(given, mistake, rel_tol=1e-6) and not isclose(mistake, right, rel_tol=1e-6):
                raise Wrong(explanation)
        if not isclose(given, right, rel_tol=1e-6):
            raise Wrong(
                f"{records} records of {numbers} numbers and a model of {weights} weights break even after {right:.4g} rounds; yours is "
                f"{given:.4g}."
            )
    return "Few small records and a large model: moving the records once is cheaper. Many large ones: FL is."


q2 = Exercise(
    "When moving the records is cheaper", _check_break_even,
    hints=["Moved once: records x numbers x 4 bytes. A round of FL: 2 x weights x 4 bytes.", "Divide the first by the second."],
    solution="    return records * numbers / (2 * weights)",
)  # fmt: skip


def _uses() -> Uses:
    study = stored("cases")
    return Uses(study, tables.from_cases(study))


def _check_defence(defence: Sequence[tuple[str, str, str]]) -> str:
    triples = list(defence) if isinstance(defence, list | tuple) else []
    if not triples or not all(isinstance(one, tuple | list) and len(one) == 3 for one in triples):
        raise Wrong("Give a list of triples: a story, the way that you recommend, and its strongest rival.")
    if (told := sorted(str(case) for case, _, _ in triples)) != sorted(STORIES):
        raise Wrong(f"Defend each story once: {', '.join(STORIES)}. Yours are: {', '.join(told)}.")
    uses = _uses()
    dearer = [found for case, way, rival in triples for found in _defended(uses, case, way, rival)]
    praise = "Your table supports you four times."
    return f"{praise} As good, and with less talk: {'; '.join(dearer)}." if dearer else praise


def _defended(uses: Uses, case: str, way: Any, rival: Any) -> list[str]:
    """Raise Wrong, saying why, unless the table supports the way against its strongest allowed rival; return what is cheaper, if anything."""
    situation = uses.situation(case)
    rows = {row.way: row for row in uses.of(case)}
    for name in (way, rival):
        if name not in rows:
            raise Wrong(f"{case}: {name!r} is not in its table. There are: {', '.join(rows)}.")
    if way == rival:
        raise Wrong(f"{case}: a defence needs a rival, and {way!r} is no rival of itself.")
    chosen, other = rows[way], rows[rival]
    if why := choosing.forbids(chosen, situation):
        raise Wrong(f"{case}: {way} is out of the question, because {why}.")
    if why := choosing.forbids(other, situation):
        raise Wrong(f"{case}: {rival} is no rival: it is out, because {why}. Defend {way} against what is allowed.")
    left = [row for row in rows.values() if row.way != way and not choosing.forbids(row, situation)]
    if beaten := [row.way for row in left if choosing.better(row, chosen)]:
        raise Wrong(
            f"{case}: the table contradicts you. Better than {way} by more than a point, by the ruler: {', '.join(beaten)}."
        )
    strongest = max(left, key=lambda row: row.mean)
    if other.mean < strongest.mean - 0.005:
        raise Wrong(
            f"{case}: {rival} is not the strongest rival. {strongest.way} scores {strongest.mean:.1f}, {rival} {other.mean:.1f}."
        )
    found = choosing.recommend(situation, list(rows.values())).row
    cheaper = found is not None and found.way != way and choosing.no_worse(found, chosen).outcome == "holds"
    return [f"{case}, {found.way}"] if found and cheaper else []


q3 = Exercise(
    "Defend a recommendation", _check_defence,
    hints=[
        "First strike out: records that must stay rule out DML and hybrid, curious receivers rule out whoever gets single models.",
        "Then the rival: of what is left, beside your own way, the one with the highest score.",
    ],
    solution=(
        '    ("payment fraud", "FL, secure sum", "alone"),\n'
        '    ("diagnosis", "FL, fine-tuned", "gossip"),\n'
        '    ("keyboard", "FL, secure sum", "alone"),\n'
        '    ("recommendations", "DML", "hybrid"),'
    ),
)  # fmt: skip


quiz = [
    Question(
        "Twenty banks may not show each other a payment, and trust nobody with a single model. Which of these is left?",
        [
            Choice("FL as it is", False, "The server sees each bank's model, and lesson 11 turned such into data."),
            Choice("FL with a secure sum", True, "The server learns the sum alone, and the model is the same one."),
            Choice("DML in a very safe data centre", False, "However safe, somebody then holds everybody's payments."),
        ],
    ),
    Question(
        "Two ways differ by 0.4 points, and the interval goes from 1.5 points below to 0.7 above. The chooser's margin is a point. It ...",
        [
            Choice("takes the cheaper one: no significant difference", False, "Not significant is not the same: it may be 1.5 points worse."),
            Choice("keeps the better mean: whether the other is as good cannot be told", True, "As good has to be shown, with the whole interval."),
            Choice("averages the two", False, "It recommends a row that was measured."),
        ],
    ),
    Question(
        "Raw records never leave under FL. What does a thief get who breaks into the server of FL?",
        [
            Choice("Nothing at all", False, "The model is there, and single updates where nothing hides them."),
            Choice("The model and, without a secure sum, every owner's last update", True, "No record, but what records can be guessed from."),
            Choice("All records", False, "Those never came there."),
        ],
    ),
    Question(
        "A model in 8 bits takes a quarter of the bytes. Is it faster?",
        [
            Choice("Always: it moves fewer bytes", False, "Rounding what comes in takes time too, and small layers are done before it pays."),
            Choice("That has to be measured on the device that will run it", True, "Here a small model became slower. A phone has other instructions."),
            Choice("Never", False, "Large layers on hardware made for whole numbers do get faster."),
        ],
    ),
]  # fmt: skip
