"""Which strategy copes with skewed clients? The study behind lesson 08.

    python benchmarks/skew.py            everything: about four minutes on two cores; it goes on where it was interrupted
    python benchmarks/skew.py --quick    two strategies, one skew, three rounds: a check that it runs; stores nothing

digits (8x8 pixels), ten clients who all take part, one hidden layer of 64, and the accuracy after the last of 20 rounds of 2
local epochs, batch 16: the same budget for every strategy, though SCAFFOLD sends more bytes for it. Ten reporting seeds draw the
partition, the first weights and the batches; the 540 test images are the same for all, and no setting is chosen on them. Four
strategies meet label skew; FedAvg alone meets the other kinds, and one machine those that it can see.

Settings: the learning rate, and FedProx's mu or FedAdam's server rate, come from the same grid for every skew. A setting is
worth the worst of its accuracies over three tuning seeds, on 252 of the training images that are kept out for it. Where the
best is at the edge of the grid, the grid is widened, to the end of its ladder at most. A broken run (not finite any more, or
the same answer for every image) counts as 0 in tuning; in the result it is counted, and has no accuracy.

All goes to course_lib/classroom/studies/skew.json. The last line is JSON: the mean and half the 95% interval of each accuracy in
percent over the runs that did not break, and how many did.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench
from best_first import Search, Setting
from niid_bench import PUBLISHED
from rounds_to_target import bias
from skewed_clients import CLIENTS, KINDS, SEEN, SKEWS, deal

from course_lib import data, learning, models, plans, rounds
from course_lib.data import Dataset
from course_lib.data.sources import stratified
from course_lib.federated.strategies import FedOpt, FedProx, Scaffold, Strategy
from course_lib.plans import Plan

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/skew.json"
UNFINISHED = STORED.with_suffix(".unfinished")
ROUNDS, EPOCHS, BATCH = 20, 2, 16
SEEDS, TUNING_SEEDS = tuple(range(10)), (100, 101, 102)
RATES = Setting((0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2), first=(2, 5))
# FedProx's mu, where 0 would be FedAvg; FedAdam's server rate.
KNOBS = {
    "FedProx": Setting((0.001, 0.01, 0.1, 1.0), first=(1, 3)),
    "FedAdam": Setting((0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), first=(2, 5)),
}
NO_KNOB = Setting((None,), first=(0, 1))
STRATEGIES = ("FedAvg", "FedProx", "SCAFFOLD", "FedAdam")
ONE_MACHINE = "one machine"


@dataclass(frozen=True)
class Job:
    """One run: a strategy with its settings, on clients of a skew. `tuning`: judged on images kept out of training."""

    skew: str
    strategy: str
    rate: float
    knob: float | None
    seed: int
    tuning: bool = False
    length: int = ROUNDS

    def plan(self) -> Plan:
        """Return the plan: as many passes over all images whatever the strategy."""
        if self.strategy == ONE_MACHINE:
            return plans.centralised(self.length * EPOCHS, BATCH, self.rate)
        plan = plans.fedavg(self.length, 1.0, EPOCHS, BATCH, self.rate)
        return plan.but(name=self.strategy, strategy=strategy(self.strategy, self.knob))


def strategy(name: str, knob: float | None) -> Strategy | None:
    """Return a strategy of the study with its setting."""
    made: dict[str, Strategy] = {"SCAFFOLD": Scaffold()}
    if knob is not None:
        made = {"FedProx": FedProx(mu=knob), "FedAdam": FedOpt("adam", server_rate=knob)}
    return None if name == "FedAvg" else made[name]


@cache
def split(tuning: bool) -> tuple[Dataset, Dataset]:
    """Return 1,257 training and 540 test images; for tuning, the training images as 1,005 to train on and 252 to judge by."""
    train, test = data.load("digits", test_fraction=0.3)
    return stratified(train, 0.2, seed=TUNING_SEEDS[0]) if tuning else (train, test)


def measure(job: Job) -> dict[str, Any]:
    """Return what one run comes to: accuracy after each round, bias, megabytes up and down, and whether it broke."""
    train, clients, judge = deal(job.skew, *split(job.tuning), job.seed)
    every = EPOCHS if job.strategy == ONE_MACHINE else 1
    try:
        run = rounds.fit(models.mlp((64,)), train, clients, job.plan(), test=judge, seed=job.seed, evaluate_every=every)
    except rounds.DivergedError:
        return {"accuracy": [], "bias": None, "up": None, "down": None, "broken": True}
    by_round = run.history["accuracy"]
    answers = learning.evaluation.scores(run.model, judge.x).argmax(1)
    broken = isnan(by_round.iloc[-1]) or len(answers.unique()) == 1
    up, down = run.history[["bytes_up", "bytes_down"]].iloc[-1] / 1e6
    return {"accuracy": by_round.round(4).tolist(), "bias": round(bias(run, judge), 4), "up": round(up, 4),
            "down": round(down, 4), "broken": broken}  # fmt: skip


def worth(found: Mapping[str, Any]) -> float:
    """Return the last accuracy of a run, 0 for one that broke."""
    return 0.0 if found["broken"] else found["accuracy"][-1]


def cells() -> Iterator[tuple[str, str]]:
    """Yield all that is measured: each strategy at each label skew, one machine, and other kinds of skew."""
    yield from ((skew, name) for skew in SKEWS for name in STRATEGIES)
    yield ONE_MACHINE, ONE_MACHINE
    yield from ((kind, "FedAvg") for kind in KINDS)
    yield from ((kind, ONE_MACHINE) for kind in SEEN)


def search(name: str) -> Search:
    """Return the search for the best settings of a strategy."""
    return Search((RATES, KNOBS.get(name, NO_KNOB)), len(TUNING_SEEDS))


def tuned(bench: Bench[Job, dict[str, Any]]) -> dict[tuple[str, str], Search]:
    """Return the finished search of each cell. All searches take their steps together, so that both cores are busy."""
    searches = {cell: search(cell[1]) for cell in cells()}
    while jobs := [
        Job(skew, name, rate, knob, TUNING_SEEDS[len(own.tried.get((rate, knob), []))], tuning=True)
        for (skew, name), own in searches.items()
        for rate, knob in own.wanted()
    ]:
        for job, found in zip(jobs, bench.measured(jobs, "Tuning"), strict=True):
            searches[job.skew, job.strategy].tried.setdefault((job.rate, job.knob), []).append(worth(found))
    return searches


def study(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study: for each skew and strategy what was tried, the settings, and the runs."""
    rows = []
    for (skew, name), found in tuned(bench).items():
        rate, knob = found.leader
        jobs = [Job(skew, name, rate, knob, seed) for seed in SEEDS]
        tried = [{"learning_rate": at[0], "knob": at[1], "accuracy": found.tried[at]} for at in sorted(found.tried)]
        row = {"skew": skew, "strategy": name, "learning_rate": rate, "knob": knob, "tried": tried}
        rows.append({**row, "runs": bench.measured(jobs, f"{skew}, {name}")})
        print(skew, name, rate, knob, [round(worth(run), 3) for run in rows[-1]["runs"]], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": f"digits, 1257 training and 540 test images, split seed 0, {CLIENTS} clients",
        "model": "models.mlp((64,)), 4,810 weights",
        "budget": {"rounds": ROUNDS, "local_epochs": EPOCHS, "batch_size": BATCH},
        "tuning_seeds": list(TUNING_SEEDS),
        "seeds": list(SEEDS),
        "rows": rows,
        "published": PUBLISHED,
    }


def text(found: Mapping[str, Any]) -> str:
    """Return the study as JSON with every list of numbers in one line."""
    numbers = re.compile(r"\[\s+([^\[\]{}]+?)\s+\]")
    return numbers.sub(lambda some: f"[{' '.join(some[1].split())}]", json.dumps(found, indent=1)) + "\n"


def line(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the last line: mean and half the interval in percent for each skew and strategy, and broken runs."""
    table: dict[str, dict[str, Any]] = {}
    for row in found["rows"]:
        sound = [100 * worth(run) for run in row["runs"] if not run["broken"]]
        interval = learning.interval(sound)
        said = {"mean": round(interval.mean, 2), "half": round(interval.half_width, 2)}
        table.setdefault(row["skew"], {})[row["strategy"]] = said | {"broken": len(row["runs"]) - len(sound)}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two strategies, one skew, two seeds; nothing is stored")
    if not parser.parse_args().quick:
        bench = Bench(measure, UNFINISHED)
        found = study(bench)
        STORED.write_text(text(found), encoding="utf-8")
        bench.forget()
        print(json.dumps(line(found)))
        return
    jobs = [
        Job("one digit each", name, 0.1, None, seed, length=3) for name in ("FedAvg", "SCAFFOLD") for seed in SEEDS[:2]
    ]
    print(json.dumps({f"{job.strategy}, seed {job.seed}": worth(measure(job)) for job in jobs}))


if __name__ == "__main__":
    main()
