"""Lost answers, late answers, packed answers, few or many, small or large models: the study behind lesson 09.

    python benchmarks/unreliable.py           everything; goes on where it was interrupted
    python benchmarks/unreliable.py --quick   three contenders, one rate, two seeds: a check that it runs; stores nothing

4,000 images of mnist5k on 100 clients, 50 of which hold mostly the digits 0 to 4 and 50 mostly 5 to 9. A seed draws the deal, who is
asked and who answers, the first weights and the batches. Each contender has its own learning rate, by `study.tune`: the worst of three
tuning seeds, judged on 800 images held out of the training images; the tuning runs train on the other 3,200.

All goes to course_lib/classroom/studies/unreliable.json. Of each run: accuracy in percent on all digits and on those of either
half; bytes up and down in MB, and those of answers that the server did not use, if their clients sent them all the same; answers of
either half in a round; and accuracy by round and by second on the clients' own (made-up) devices. A run that broke has NaN for
accuracy. The last line is JSON: mean accuracy and half its 95% interval.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench, Job, command, images, indented, tuned

from course_lib import learning, models, plans, rounds
from course_lib.compression import Quantise, TopK
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance, Fleet
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Devices
from course_lib.plans import Plan
from course_lib.rounds import preparation

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/unreliable.json"
DONE = Path(tempfile.gettempdir()) / "unreliable.jsonl"  # the runs of a study that was interrupted
CLIENTS, ROUNDS, UPDATES = 100, 20, 400
GRID, TUNING_SEEDS = (0.1, 0.2, 0.4), (100, 101, 102)
BASE = models.mlp((64,))
SIZES = {"logistic": (models.logistic(), 7_850), "64 hidden": (BASE, 50_890), "2NN": (models.mlp(), 199_210)}
EVERYONE = plans.fedavg(rounds=ROUNDS, participation=0.2, epochs=1, batch_size=10)
SLOW = plans.fedavg(rounds=10, participation=0.1, epochs=5, batch_size=10)
SAME_HALF = (0.1,) * 50 + (0.9,) * 50  # the chance that an answer is lost
ANSWERS = tuple(1 - chance for chance in SAME_HALF)
OFTEN = tuple(1 / chance for chance in ANSWERS)
FLEET = (*(LAPTOP, PHONE) * 25, *(OLD_PHONE,) * 50)


@dataclass(frozen=True)
class Weighted:
    """A fleet that loses answers, in which an answer counts the inverse of its client's chance to be heard.

    `answers`: the chance of each client that it answers when it is asked. The chance that it is asked is known to a fleet with
    `inverse_probability`; without that, all are asked alike.
    """

    fleet: Fleet
    answers: Sequence[float]

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        drawn = self.fleet.attendance(round_index, cohort_size, steps, download, upload, seed)
        return replace(drawn, counts={k: drawn.counts.get(k, 1.0) / self.answers[k] for k in drawn.asked})


def phones(weights: int) -> Devices:
    """Return a hundred old phones, which take longer for a step in proportion to the weights."""
    return Devices([replace(OLD_PHONE, speed=OLD_PHONE.speed * 50_890 / weights)] * CLIENTS)


LOST = Devices(dropout=SAME_HALF)
PARTS: dict[str, dict[str, Plan]] = {
    "lost": {
        "all answer": EVERYONE,
        "half lost by chance": EVERYONE.but(fleet=Devices(dropout=0.5)),
        "by chance, twice the rounds": EVERYONE.but(fleet=Devices(dropout=0.5), rounds=2 * ROUNDS),
        "half lost, same half": EVERYONE.but(fleet=LOST),
        "same half, twice the rounds": EVERYONE.but(fleet=LOST, rounds=2 * ROUNDS),
        "asked more often": EVERYONE.but(fleet=replace(LOST, importance=OFTEN), participation=0.56),
        "weighted": EVERYONE.but(fleet=Weighted(LOST, ANSWERS)),
        "asked more often, weighted": EVERYONE.but(
            fleet=Weighted(replace(LOST, importance=OFTEN, inverse_probability=True), ANSWERS), participation=0.56
        ),
    },
    "late": {
        "wait for all": SLOW.but(fleet=Devices(FLEET)),
        "deadline 2 s": SLOW.but(fleet=Devices(FLEET, deadline=2)),
        "deadline 3 s, partial work": SLOW.but(fleet=Devices(FLEET, deadline=3, partial_work="accept")),
        "first 10 of 20": SLOW.but(fleet=Devices(FLEET, over_selection=2)),
        "deadline 2 s, 8 bits": SLOW.but(fleet=Devices(FLEET, deadline=2), compression=Quantise()),
    },
    "packed": {
        "8 bits, nearest": EVERYONE.but(compression=Quantise()),
        "8 bits, at random": EVERYONE.but(compression=Quantise(stochastic=True)),
        "top 1%, the rest is lost": EVERYONE.but(compression=TopK(0.01, feedback=False)),
        "top 1%, error feedback": EVERYONE.but(compression=TopK(0.01)),
    },
    "few": {
        f"{size} of 100, {UPDATES // size} rounds": EVERYONE.but(participation=size / 100, rounds=UPDATES // size)
        for size in (1, 5, 100)
    },
    "sizes": {
        name: EVERYONE.but(rounds=2 * ROUNDS, participation=0.1, fleet=phones(weights)) for name, (_, weights) in SIZES.items()
    },
}  # fmt: skip
# Five seeds left several comparisons open; verdicts hang on "lost" and "sizes".
SEEDS = {part: tuple(range(20 if part in ("lost", "sizes") else 10)) for part in PARTS}


def deal(train: Dataset, seed: int, own: float = 0.9) -> list[np.ndarray]:
    """Deal the images to 100 clients; the share `own` of a client's images shows digits of its own half."""
    chance = np.random.default_rng(seed)
    low, high = (chance.permutation(np.flatnonzero(half)) for half in (train.y < 5, train.y >= 5))
    guests = round((1 - own) * min(len(low), len(high)))
    halves = np.concatenate([low[guests:], high[:guests]]), np.concatenate([high[guests:], low[:guests]])
    return [part for half in halves for part in np.array_split(chance.permutation(half), CLIENTS // 2)]


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    train, test = images("mnist5k", job.tuning)
    parts = deal(train, job.seed)
    model, weights = SIZES[job.name if job.part == "sizes" else "64 hidden"]
    plan = PARTS[job.part][job.name].but(learning_rate=job.rate)
    drawn = preparation.attendance(plan, [len(part) for part in parts], weights, job.seed)
    upload = plan.compression.size(weights) if plan.compression else 4 * weights
    every = 2 if plan.rounds <= 2 * ROUNDS else plan.rounds
    unused = [why for one in drawn for why in one.absent.values() if why in ("too slow", "not needed any more")]
    heard = [sum(client < CLIENTS // 2 for client in one.work) for one in drawn]
    answers = sum(len(one.work) for one in drawn)
    counted = {
        "megabytes_up": round(upload * answers / 1e6, 3),
        "megabytes_unused": round(upload * len(unused) / 1e6, 3),
        "megabytes_down": round(4 * weights * sum(len(one.asked) for one in drawn) / 1e6, 3),
        "heard": [round(sum(heard) / plan.rounds, 2), round((answers - sum(heard)) / plan.rounds, 2)],
    }
    try:
        run = rounds.fit(model, train, parts, plan, test=test, seed=job.seed, evaluate_every=every)
    except rounds.DivergedError:
        return {"accuracy": nan, "halves": [nan, nan], **counted}
    halves = [test.subset(np.flatnonzero(half)) for half in (test.y < 5, test.y >= 5)]
    history = run.history[["round", "accuracy", "simulated_seconds"]].to_numpy(dtype=float).tolist()
    curve = [[int(number), round(100 * hits, 1), round(seconds, 1)] for number, hits, seconds in history]
    return {
        "accuracy": round(100 * run.accuracy, 1),
        "halves": [round(100 * learning.accuracy(run.model, half), 1) for half in halves],
        **counted,
        **({"curve": curve} if job.part in ("late", "sizes") else {}),
    }


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    rows: list[dict[str, Any]] = []
    tuning: list[dict[str, Any]] = []
    for part, contenders in PARTS.items():
        for name in contenders:
            chosen = tuned(bench, part, name, GRID, TUNING_SEEDS)
            tried = [{"rate": rate, "accuracy": list(scores)} for rate, scores in chosen.tried.items()]
            tuning.append({"part": part, "name": name, "best": chosen.best, "at_edge": chosen.at_edge, "tried": tried})
            runs = bench.measured([Job(part, name, chosen.best, seed) for seed in SEEDS[part]], name)
            rows.append({"part": part, "name": name, "rate": chosen.best, "seeds": list(SEEDS[part]), "runs": runs})
            print(part, name, chosen.best, [run["accuracy"] for run in runs], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "tuning_seeds": list(TUNING_SEEDS), "tuning": tuning, "rows": rows,
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: mean accuracy with half the 95% interval over seeds, in percent, and what is at the grid's edge."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in found["rows"]:
        own = learning.interval([run["accuracy"] for run in row["runs"]])
        table.setdefault(row["part"], {})[row["name"]] = [round(own.mean, 1), round(own.half_width, 1)]
    return {"accuracy (%)": table, "at the grid's edge": sum(entry["at_edge"] for entry in found["tuning"])}


def quick(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return one rate and two seeds of three contenders."""
    rows = [
        {"part": part, "name": name, "runs": bench.measured([Job(part, name, 0.2, seed) for seed in (0, 1)], name)}
        for part, name in [("lost", "half lost, same half"), ("late", "deadline 2 s"), ("sizes", "logistic")]
    ]
    return {"rows": rows, "tuning": []}


if __name__ == "__main__":
    command(__doc__, "three contenders, one rate, two seeds", everything, quick, measure, line, STORED, DONE, indented)
