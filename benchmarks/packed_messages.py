"""Accuracy against bytes: every way of packing gradients and updates at several settings. The study behind lesson 04.

    python benchmarks/packed_messages.py           everything; goes on where it was interrupted
    python benchmarks/packed_messages.py --quick   a contender of each part, one rate, two seeds: a check that it runs; stores nothing

Three parts: synchronous SGD with four workers on mnist5k (32 hidden units, 25,450 weights, 150 steps of 16 images a worker); the
same on the digits of 8 x 8 pixels with two hidden layers of 32 units; and FedAvg between ten clients of
400 images of mnist5k each, ten rounds of one epoch. A seed draws the deal, first weights, batches and what packing draws.

Each contender has its own learning rate, by `study.tune` on one grid for all: the best for the worst of three tuning seeds, on a
fifth of the training images that the tuning runs do not train on. All goes to course_lib/classroom/studies/packed_messages.json: accuracy in
percent, by step as well; and the bytes that each worker or client sends in a round, as recorded. A run that broke has NaN. The
last line is JSON: mean accuracy, half its 95% interval, and how many times fewer bytes than without packing.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench, Job, command, images, indented, tuned

from course_lib import data, learning, models, plans, rounds
from course_lib.compression import Compression, LowRank, Quantise, RandomK, Sign, TopK
from course_lib.models import ModelSpec
from course_lib.plans import Plan

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/packed_messages.json"
DONE = Path(tempfile.gettempdir()) / "packed_messages.jsonl"  # the runs of a study that was interrupted
GRID, TUNING_SEEDS, SEEDS = (0.2, 0.4), (100, 101, 102), tuple(range(20))
STEPS, ROUNDS = 150, 10
# A sign stands for about the size of a number of a gradient, or of an update, so that one grid of rates fits all.
WAYS: dict[str, Compression | None] = {
    "32 bits": None, "8 bits": Quantise(), "1 bit": Quantise(bits=1), "1 bit, feedback": Quantise(bits=1, feedback=True),
    "1 bit, at random": Quantise(bits=1, stochastic=True), "majority vote": Sign(0.005),
    "top 10%, feedback": TopK(0.1), "top 1%": TopK(0.01, feedback=False), "top 1%, feedback": TopK(0.01),
    "top 0.1%, feedback": TopK(0.001), "random 1%, feedback": RandomK(0.01),
    "random 1%, unbiased": RandomK(0.01, feedback=False), "rank 4": LowRank(4), "rank 2": LowRank(2), "rank 1": LowRank(1),
}  # fmt: skip
FEWER = ("32 bits", "1 bit, feedback", "majority vote", "top 1%, feedback", "rank 1")
# Of updates, milder ways as well: ten rounds are few for what is kept for later.
UPDATES = {name: WAYS[name] for name in ("32 bits", "8 bits", "top 10%, feedback", *FEWER[1:])}


@dataclass(frozen=True)
class Part:
    """A task: who trains what on which data, and the plan without packing."""

    dataset: str
    model: ModelSpec
    participants: int
    plan: Plan
    ways: Mapping[str, Compression | None]


PARTS = {
    "workers": Part("mnist5k", models.mlp((32,)), 4, plans.synchronous_sgd(STEPS, 16), WAYS),
    "digits": Part(
        "digits", models.mlp((32, 32)), 4, plans.synchronous_sgd(STEPS, 16), {name: WAYS[name] for name in FEWER}
    ),
    "clients": Part("mnist5k", models.mlp((32,)), 10, plans.fedavg(ROUNDS, 1.0, epochs=1, batch_size=20), UPDATES),
}


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    part = PARTS[job.part]
    train, test = images(part.dataset, job.tuning)
    clients = data.partitions.iid(train.y, part.participants, seed=job.seed)
    plan = part.plan.but(learning_rate=job.rate, compression=part.ways[job.name])
    try:
        run = rounds.fit(part.model, train, clients, plan, test=test, seed=job.seed, evaluate_every=plan.rounds // 10)
    except rounds.DivergedError:
        return {"accuracy": nan, "bytes": nan, "curve": []}
    sent = run.traffic[run.traffic["kind"].isin(["gradient", "mean gradient", "update"])]
    curve = [[int(number), round(100 * hits, 1)] for number, hits in run.history[["round", "accuracy"]].to_numpy()]
    return {
        "accuracy": round(100 * run.accuracy, 1),
        "bytes": round(float(sent["bytes"].sum()) / part.participants / plan.rounds, 1),
        "curve": curve,
    }


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    rows: list[dict[str, Any]] = []
    for part, task in PARTS.items():
        for name in task.ways:
            chosen = tuned(bench, part, name, GRID, TUNING_SEEDS, widen=4)
            runs = bench.measured([Job(part, name, chosen.best, seed) for seed in SEEDS], name)
            rows.append({
                "part": part, "name": name, "rate": chosen.best, "at_edge": chosen.at_edge,
                "tried": [{"rate": rate, "accuracy": list(scores)} for rate, scores in chosen.tried.items()],
                "accuracy": [run["accuracy"] for run in runs],
                "bytes": next((run["bytes"] for run in runs if run["curve"]), nan),
                "curve": [[number, np.mean([dict(run["curve"])[number] for run in runs]).round(1)]
                          for number, _ in runs[0]["curve"]] if all(run["curve"] for run in runs) else [],
            })  # fmt: skip
            print(part, name, chosen.best, rows[-1]["accuracy"], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "seeds": list(SEEDS), "tuning_seeds": list(TUNING_SEEDS), "rows": rows,
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: accuracy in percent with half its 95% interval, and times fewer bytes than 32 bits, by part and way."""
    table: dict[str, dict[str, list[float]]] = {}
    plain = {row["part"]: row["bytes"] for row in found["rows"] if row["name"] == "32 bits"}
    for row in found["rows"]:
        own = learning.interval(row["accuracy"])
        fewer = plain[row["part"]] / row["bytes"]
        table.setdefault(row["part"], {})[row["name"]] = [round(own.mean, 1), round(own.half_width, 1), round(fewer, 1)]
    return {"accuracy (%), half its interval, times fewer bytes": table}


def quick(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return one rate and two seeds of two contenders of each part."""
    rows = []
    for part in PARTS:
        for name in ("32 bits", "rank 1"):
            runs = bench.measured([Job(part, name, 0.2, seed) for seed in (0, 1)], name)
            rows.append(
                {"part": part, "name": name, "accuracy": [run["accuracy"] for run in runs], "bytes": runs[0]["bytes"]}
            )
    return {"rows": rows}


if __name__ == "__main__":
    command(
        __doc__, "two contenders a part, one rate, two seeds", everything, quick, measure, line, STORED, DONE, indented
    )
