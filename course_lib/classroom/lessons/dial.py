"""What lesson 15 reads off the stored study of the dial: what each turn did, for guesses, and the findings in words."""

from course_lib.classroom.plots.dials import BETTER_THAN, OPEN, SAME_AS, WORSE, kind
from course_lib.learning import CANNOT_TELL, Finding
from course_lib.study.dial import Row, Table
from course_lib.study.dial.stops import ANSWERING
from course_lib.study.dial.table import REFERENCE, SAID

# What a change can do to accuracy, for guesses; the first where the whole interval lies within the margin.
SAME, BETTER, SOME, MUCH = (
    "within a point",
    "more than a point better",
    "1 to 10 points worse",
    "more than 10 points worse",
)
CHOICES = (SAME, BETTER, SOME, MUCH)
_MUCH = 10.0  # points

# The stops that are guessed at, each against the stop of which it changes one answer.
GUESSED = {
    "ddp": "20 workers share a step, so batches of 200 (against one machine)",
    "local_sgd": "they talk once a pass, not every step (against DDP)",
    "fedavg_iid": "FedAvg: the data stays, clients are alike (against DDP)",
    "fedavg_1": "FedAvg: clients are uneven, Dirichlet 1 (against clients alike)",
    "fedavg_01": "FedAvg: clients are lopsided, Dirichlet 0.1 (against Dirichlet 1)",
    "partial": "half are asked, a fifth drop out (against uneven FedAvg)",
    "eight_bits": "updates in 8 bits (against uneven FedAvg)",
    "secure": "updates are masked (against uneven FedAvg)",
    "example_8": "noise hides each image, epsilon 8 (against the same steps)",
    "user_8": "noise hides each of 20 clients, epsilon 8 (against uneven FedAvg)",
    "attacked": "4 of 20 send poison, undefended (against uneven FedAvg)",
    "hybrid": "4 silos, DDP inside, FedAvg across (against uneven FedAvg)",
}
_AGAINST = {"fedavg_iid": "ddp"}


def against(row: Row) -> str:
    """Return the stop that a guess about this one compares with."""
    return _AGAINST.get(row.stop, row.versus)


def outcome(finding: Finding) -> str:
    """Return which of CHOICES a difference is, or that it cannot be told. `finding`: of the claim that the two are equal.

    Of a loss that can be told from none, the mean says whether it is above ten points.
    """
    if finding.outcome == "holds":
        return SAME
    shown = finding.shown
    if finding.outcome == CANNOT_TELL or shown is None:
        return CANNOT_TELL
    if shown.mean > 0:
        return BETTER
    return MUCH if shown.mean < -_MUCH else SOME


def turned(table: Table, data: str = "images") -> dict[str, str]:
    """Return what each guessed stop does against the one before it, in the words of CHOICES; Holm's correction for all of them."""
    from course_lib.learning import holm

    findings = holm({stop: table.compare(data, stop, against(table.row(data, stop))) for stop in GUESSED})
    return {stop: outcome(found) for stop, found in findings.items()}


def points(finding: Finding) -> str:
    """Return a difference in points, or that it cannot be told, as a sentence quotes it."""
    shown = finding.shown
    if shown is None:
        return "too few runs left"
    return f"{shown.mean:+.1f} points" + (" (cannot tell)" if finding.outcome == CANNOT_TELL else "")


# What a sentence is about: the ways without a pool of all data, without noise or attack.
_FEDERATED = (
    "fedavg_iid",
    "fedavg_1",
    "fedavg_01",
    "fedadam_01",
    "partial",
    "eight_bits",
    "secure",
    "hybrid",
    "gossip",
)
NAMES = {"images": "digits", "tabular": "payments", "text": "keyboard"}
# Which distributed training FL is held against where bytes or seconds are short: DDP alone would be an easy rival, for it talks at every step.
RIVALS = {
    "ddp": "DDP",
    "local_sgd": "local SGD, which talks as seldom",
    "one_machine": "one machine that got all data once",
}


def findings(table: Table) -> dict[str, str]:
    """Return what the table says, the least expected first: a heading and a sentence each, computed from the stored runs.

    "As good", "better" and "worse" are those of the figure: the whole interval of the difference from DDP, with Holm's correction.
    """
    return {
        "FedAvg on uneven clients against three ways of DML, for as few bytes": rivals(table, "bytes"),
        "The same for as little time between phones": rivals(table, "phones"),
        "For as many gradients, without a pool of all data": _equal_gradients(table),
        "Half of the clients, and drop-outs": _links(table),
        "What privacy costs": _privacy(table),
        "What an attack costs, and a defence": _attack(table),
        "What nobody can tell": _open(table),
    }


def rivals(table: Table, budget: str) -> str:
    """Return what FedAvg on uneven clients is ahead of each of RIVALS at a budget, in points; with Holm's correction for all that are told."""
    from course_lib.learning import holm

    found = holm({
        f"{rival}, {name}": table.compare(name, "fedavg_1", rival, budget=budget)
        for rival in RIVALS for name in NAMES if rival not in table.idle(name, budget)
    })  # fmt: skip
    parts = []
    for rival, words in RIVALS.items():
        own = {title: found.get(f"{rival}, {name}") for name, title in NAMES.items()}
        each = [f"{title} {points(one)}" for title, one in own.items() if one is not None]
        idle = [title for title, one in own.items() if one is None]
        each += [f"{', '.join(idle)}: it has not taken a step"] if idle else []
        parts.append(f"Over {words}: {', '.join(each)}.")
    return " ".join(parts)


def _equal_gradients(table: Table) -> str:
    said = []
    for which, words in ((BETTER_THAN, "Better than DDP"), (SAME_AS, "As good"), (WORSE, "Worse")):
        parts = []
        for name, title in NAMES.items():
            own = [
                table.row(name, stop).title + (f" ({points(found)})" if which == WORSE else "")
                for stop, found in table.differences(name).items() if stop in _FEDERATED and kind(found) == which
            ]  # fmt: skip
            parts += [f"{title}: {'; '.join(own)}"] if own else []
        said.append(f"{words}: {'. '.join(parts) or 'nowhere shown'}.")
    return " ".join(said)


def _open(table: Table) -> str:
    """Return how many stops cannot be told from DDP: the figure shows which."""
    parts = []
    for name, title in NAMES.items():
        kinds = [kind(found) for found in table.differences(name).values()]
        parts.append(f"{title}: {kinds.count(OPEN)} of {len(kinds)} stops")
    return f"Whether a stop is as good as DDP, worse or better: {', '.join(parts)}. They are the grey squares of the figure."


def _lost(table: Table, name: str, stop: str, against: str) -> str:
    return points(table.compare(name, stop, against))


def _links(table: Table) -> str:
    each = [f"{words} {_lost(table, name, 'partial', 'fedavg_1')}" for name, words in NAMES.items()]
    return (
        f"Half of the clients are asked and a fifth of those drop out, by chance. For as many gradients that takes {1 / ANSWERING:g} times the "
        f"rounds. Against FedAvg in which all answer: {', '.join(each)}. Lesson 09 keeps the number of rounds instead."
    )


def _privacy(table: Table) -> str:
    parts = []
    for name, words in NAMES.items():
        each = [
            f"epsilon {epsilon}: {_lost(table, name, f'example_{epsilon}', 'example_off')}" for epsilon in (8, 3, 1)
        ]
        parts.append(f"{words}, {', '.join(each)}")
    few, many = _lost(table, "images", "user_8", "fedavg_1"), _lost(table, "images", "crowd_user_8", "crowd")
    named = [table.row("text", f"example_{epsilon}").mean("macro_f1") or 1.0 for epsilon in (8, 3, 1)]
    floor = (
        f" There the keyboard hardly does more than name one character (macro-F1 {100 * max(named):.1f}% at most), so it has no more to lose."
        if max(named) < _ONE_CHARACTER else ""
    )  # fmt: skip
    return (
        f"To hide one example, against the same steps without noise: {'; '.join(parts)}.{floor} To hide one client at epsilon 8, digits: {few} "
        f"among 20 clients, {many} among 200."
    )


# The macro-F1 of a model that names the most frequent of 37 characters whatever came before is 0.008.
_ONE_CHARACTER = 0.01


def _attack(table: Table) -> str:
    parts, rule, left = [], [], []
    for name, words in NAMES.items():
        broke = table.row(name, "attacked").broke
        parts.append(
            f"{words} {_lost(table, name, 'attacked', 'fedavg_1')}" + (f" ({broke} runs broke)" if broke else "")
        )
        rule.append(f"{words} {_lost(table, name, 'rule_alone', 'fedavg_1')}")
        left.append(f"{words} {_lost(table, name, 'defended', 'rule_alone')}")
    return (
        f"A fifth of the clients send their update turned round and five times as long. Against FedAvg in peace: {', '.join(parts)}. Multi-Krum "
        f"where nobody attacks: {', '.join(rule)}. The attack behind it, against that: {', '.join(left)}."
    )


__all__ = [
    "CHOICES",
    "GUESSED",
    "NAMES",
    "REFERENCE",
    "RIVALS",
    "SAID",
    "against",
    "findings",
    "outcome",
    "points",
    "rivals",
    "turned",
]
