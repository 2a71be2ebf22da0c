"""Every attack against every rule: the study behind lesson 14.

    python benchmarks/robustness.py            everything: about ten minutes of processor time; it goes on where it was interrupted
    python benchmarks/robustness.py --quick    two attacks, two rules, one rate, two seeds: a check that it runs; stores nothing

digits (8x8 pixels), 20 clients who all take part, one hidden layer of 32, and the model after 10 rounds of 2 local epochs, batch 16.
540 test images; 100 more are the server's own (FLTrust trains on them, no client holds them), and clients hold the other 1,157.
IID: everyone has the same mixture of digits, but not as many images as others (`quantity_skew`, alpha 3). Skewed: Dirichlet with
alpha 0.3, which differs in both. A seed draws the deal, the first weights, the batches, who attacks, and the poison. Those of a
small attack also take part in a large one. All rules count on 6 attackers, 30% of 20, however many there are: a server cannot know.

Attackers flip all labels (y -> 9 - y); open a back door (a bright 2x2 square on half of their images is to mean 0), as it is or with the
update blown up by n / f; send -5 times their update; or craft it (ALIE, IPM with epsilon 0.5, min-max, against Krum), and then they see
all honest updates. None of this was tuned.

Each rule has a learning rate for IID and one for skewed clients, by `study.tune` without an attacker: the worst of three tuning seeds, on a
fifth of the clients' images kept out for it. The norm bound of 1 is near the median length of honest updates in a trial run with skewed
clients at rate 0.2; the momentum is 0.9. Secure aggregation has the mean's rate, and clients who cut their numbers at 0.05 before masking.

All goes to course_lib/classroom/studies/robustness.json. One row a case, with a value for each seed: accuracy, and recall of the worst digit;
of the 486 test images that are no 0, the share taken for one with the square (`success`) and without (`chance`), all in percent; and for Krum
and multi-Krum in how many rounds each client was picked. A run whose weights are no longer finite answers by chance:
it counts 10% and is listed in `diverged`. The last line is JSON: accuracy and success at 30% with half their 95% intervals.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench, command
from hostile_clients import (
    CLIENTS,
    DOOR,
    MASKED,
    MOST,
    NONE,
    RULES,
    Case,
    WatchedKrum,
    WatchedMultiKrum,
    cases,
    deal,
    images,
    plan_of,
)

from course_lib import learning, models, rounds, study
from course_lib.adversary.poisoning import attack_success
from course_lib.aggregation.robust import FLTrust

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/robustness.json"
DONE = Path(tempfile.gettempdir()) / "robustness.jsonl"  # the runs of a study that was interrupted
GRID, TUNING_SEEDS = (0.1, 0.2, 0.4), (100, 101, 102)
MODEL = models.mlp((32,))


@dataclass(frozen=True)
class Job:
    """One run of a case. `tuning`: trained on four fifths of the clients' images and judged on the fifth."""

    case: Case
    rate: float
    seed: int
    tuning: bool = False


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    torch.set_num_threads(1)
    train, test, root = images(job.tuning)
    plan = plan_of(job.case, job.rate, job.seed)
    own = root if isinstance(plan.aggregation, FLTrust) else None
    try:
        run = rounds.fit(
            MODEL,
            train,
            deal(job.case.clients, train, job.seed),
            plan,
            test=test,
            seed=job.seed,
            evaluate_every=plan.rounds,
            root=own,
        )
    except rounds.DivergedError:
        return {"accuracy": 10.0, "worst": 0.0, "success": 10.0, "chance": 10.0, "diverged": True}
    recall = [learning.accuracy(run.model, test.subset(test.y == digit)) for digit in range(len(test.classes))]
    door = attack_success(run.model, DOOR, test)
    found: dict[str, Any] = {
        "accuracy": run.accuracy,
        "worst": min(recall),
        "success": door.share,
        "chance": door.chance,
    }
    found = {name: round(100 * value, 1) for name, value in found.items()} | {"diverged": False}
    if isinstance(plan.aggregation, WatchedKrum | WatchedMultiKrum):
        rows = [client for picked in plan.aggregation.picked for client in picked]
        found["picked"] = [rows.count(client) for client in range(CLIENTS)]
    return found


def seeds(case: Case) -> tuple[int, ...]:
    """Return the seeds of a case: more where a verdict hangs on it or runs differ widely."""
    if case.rule == "mean" and case.attackers <= 1:
        return tuple(range(20))
    return tuple(range(5 if case.attackers or case.rule == MASKED else 10))


def rate_of(case: Case, rates: Mapping[tuple[str, str], float]) -> float:
    """Return the tuned rate of a case's rule; the mean behind masks has that of the mean."""
    return rates[case.clients, "mean" if case.rule == MASKED else case.rule]


def tuned(bench: Bench[Job, dict[str, Any]], clients: str, rule: str) -> study.Tuned:
    """Return a rule's rate: the best accuracy without an attacker for the worst of the tuning seeds."""

    def score(jobs: Sequence[tuple[float, int]]) -> list[float]:
        made = [Job(Case(clients, NONE, 0, rule), rate, seed, tuning=True) for rate, seed in jobs]
        return [found["accuracy"] for found in bench.measured(made, f"Tuning {rule}")]

    return study.tune(score, GRID, TUNING_SEEDS)


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    tuning: list[dict[str, Any]] = []
    rates: dict[tuple[str, str], float] = {}
    for clients in ("IID", "skewed"):
        for rule in RULES:
            chosen = tuned(bench, clients, rule)
            tried = [{"rate": rate, "accuracy": list(scores)} for rate, scores in chosen.tried.items()]
            tuning.append(
                {"clients": clients, "rule": rule, "best": chosen.best, "at_edge": chosen.at_edge, "tried": tried}
            )
            rates[clients, rule] = chosen.best
            print(clients, rule, chosen.best, "at the edge" if chosen.at_edge else "", flush=True)
    jobs = [Job(case, rate_of(case, rates), seed) for case in cases() for seed in seeds(case)]
    of_case: dict[Case, list[dict[str, Any]]] = {}
    for job, result in zip(jobs, bench.measured(jobs, "Attacks"), strict=True):
        of_case.setdefault(job.case, []).append(result)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "tuning_seeds": list(TUNING_SEEDS), 
        "tuning": tuning, "rows": [row(case, rate_of(case, rates), runs) for case, runs in of_case.items()],
    }  # fmt: skip


def row(case: Case, rate: float, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a case with a value for each seed."""
    columns = {name: [run[name] for run in runs] for name in runs[0] if name != "diverged"}
    diverged = [seed for seed, run in enumerate(runs) if run["diverged"]]
    return {
        "clients": case.clients, "attack": case.attack, "attackers": case.attackers, "rule": case.rule, "rate": rate,
        "seeds": list(range(len(runs))), **columns,
        "diverged": diverged,
    }  # fmt: skip


def written(found: Mapping[str, Any]) -> str:
    """Return the study as JSON, with a line for each row."""
    head = {name: value for name, value in found.items() if name not in ("tuning", "rows")}
    listed = {name: "[\n" + ",\n".join(json.dumps(each) for each in found[name]) + "\n]" for name in ("tuning", "rows")}
    return json.dumps(head)[:-1] + "".join(f',\n"{name}": {text}' for name, text in listed.items()) + "}\n"


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: at most attackers, accuracy and success with half their 95% intervals over seeds, in percent."""
    table: dict[str, dict[str, Any]] = {}
    for each in found["rows"]:
        if each["attackers"] in (0, MOST):
            own = [learning.interval(each[name]) for name in ("accuracy", "success")]
            cells = table.setdefault(f"{each['clients']}, {each['attack']}", {})
            cells[each["rule"]] = [round(value, 1) for one in own for value in (one.mean, one.half_width)]
    return {"accuracy and success (%)": table, "at the grid's edge": sum(entry["at_edge"] for entry in found["tuning"])}


def quick(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return one rate and two seeds of two attacks and two rules."""
    some = [
        Case("IID", NONE, 0, "mean"),
        Case("skewed", "IPM", MOST, "Krum"),
        Case("IID", "back door", MOST, "FLTrust"),
    ]
    rows = [row(case, 0.2, bench.measured([Job(case, 0.2, seed) for seed in (0, 1)], case.rule)) for case in some]
    return {"rows": rows, "tuning": []}


if __name__ == "__main__":
    command(
        __doc__, "two attacks, two rules, one rate, two seeds", everything, quick, measure, line, STORED, DONE, written
    )
