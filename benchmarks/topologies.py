"""What it costs to have no server, or one above several silos: accuracy against topology and bytes, the study behind lesson 16.

    python benchmarks/topologies.py           everything; goes on where it was interrupted (about half an hour on one core)
    python benchmarks/topologies.py --quick   a few contenders, one rate, two seeds, three passes: a check that it runs; stores nothing

The 4,000 training images of mnist5k, 16 clients with 250 each, a network of 25,450 weights, batches of 10, 20 passes over everybody's
images: equal gradient computations for all. "IID": dealt at random. "skewed": two shards, so mostly two digits, a client. "lopsided silos": two
shards a client as well, but clients 0 to 3 get theirs from the lowest digits, and so on: a silo of four holds two or three digits. A seed draws
the partition, the first weights, the batches and the random graph. Each contender has its own learning rate, by `study.tune`: the worst of
three tuning seeds, judged by the mean accuracy of the nodes' own models on a fifth of the training images, which the tuning runs do not
train on. The test images are the same for all.

"alone": nobody talks. "server": federated averaging after each pass; "server, often": five times a pass. "ring", "torus", "random", "complete": gossip after each pass, nodes with
2, 4, 4 and 15 neighbours. "ring, often": five times a pass. "push-sum": on the directed exponential graph, where each sends to 4.
"1 silo" to "8 silos": data pooled inside each silo and gradients averaged at each step there, the silos' models after each pass; one silo is
distributed training. "4 edges": no data is moved; an edge server averages its four clients' models five times a pass, the cloud the four
edges' after each pass.

All goes to course_lib/classroom/studies/topologies.json, in percent and MB: nodes (mean accuracy of the models that clients end with),
worst (of the worst), mean (accuracy of the mean model), apart (consensus error), total (all bytes but raw data), across (over the cloud's
link), busiest (into and out of the party with most), and a curve of [pass, nodes, apart]. A run that broke has NaN. The last line is JSON:
mean accuracy of the nodes and half its 95% interval.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench, Job, images, in_lines, tuned

from course_lib import data, learning, models, plans, rounds
from course_lib.data import Dataset
from course_lib.learning import sgd
from course_lib.rounds import Run
from course_lib.topology import Graph, gossip, graphs, hierarchical

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/topologies.json"
DONE = Path(tempfile.gettempdir()) / "topologies.jsonl"  # the runs of a study that was interrupted
GRID, WIDEN, TUNING_SEEDS, SEEDS = (0.05, 0.1, 0.2), 4, (100, 101, 102), tuple(range(20))
MODEL, CLIENTS, PASSES, BATCH, OFTEN = models.mlp((32,)), 16, 20, 10, 5
GRAPHS: dict[str, Callable[[int], Graph]] = {
    "ring": lambda seed: graphs.ring(CLIENTS),
    "ring, often": lambda seed: graphs.ring(CLIENTS),
    "torus": lambda seed: graphs.torus(CLIENTS),
    "random": lambda seed: graphs.random_regular(CLIENTS, 4, seed),
    "complete": lambda seed: graphs.complete(CLIENTS),
    "push-sum": lambda seed: graphs.directed_exponential(CLIENTS),
}
SILOS = {"1 silo": 1, "2 silos": 2, "4 silos": 4, "8 silos": 8}
EDGES = "4 edges"
EVERYONE = ["alone", "server", "server, often", *GRAPHS, EDGES, *SILOS]
PARTS = {"IID": EVERYONE, "skewed": EVERYONE, "lopsided silos": ["server", EDGES, "4 silos"]}


def dealt(part: str, train: Dataset, seed: int) -> list[np.ndarray]:
    """Return the clients' images."""
    if part == "IID":
        return data.partitions.iid(train.y, CLIENTS, seed=seed)
    if part == "skewed":
        return data.partitions.shards(train.y, CLIENTS, 2, seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    shards = np.array_split(order[np.argsort(train.y[order].numpy(), kind="stable")], 2 * CLIENTS)
    each = 2 * CLIENTS // 4  # shards of a silo
    own = [silo * each + one for silo in range(4) for one in rng.permutation(each)]
    return [np.sort(np.r_[shards[a], shards[b]]) for a, b in zip(own[::2], own[1::2], strict=True)]


def fit(job: Job, passes: int = PASSES) -> Run:
    """Return the run of one contender that talks."""
    train, test = images("mnist5k", job.tuning)
    own = dealt(job.part, train, job.seed)
    told: dict[str, Any] = {"test": test, "seed": job.seed}
    plan = plans.fedavg(passes, participation=1.0, epochs=1, batch_size=BATCH, learning_rate=job.rate)
    steps = sgd.steps_an_epoch(len(own[0]), BATCH)
    often = OFTEN if job.name.endswith("often") else 1
    if often > 1:
        plan = plan.but(local_epochs=None, local_steps=steps // often, rounds=passes * often)
    every = passes if job.tuning else 1
    if job.name.startswith("server"):
        return rounds.fit(MODEL, train, own, plan, evaluate_every=every * often, **told)
    if job.name in GRAPHS:
        return gossip.fit(MODEL, train, own, plan, GRAPHS[job.name](job.seed), evaluate_every=every * often, **told)
    if job.name == EDGES:
        inside = plan.but(local_epochs=None, local_steps=steps // OFTEN, rounds=passes * OFTEN)
        silos = hierarchical.even(CLIENTS, 4)
        return hierarchical.fit(MODEL, train, own, inside, silos, every=OFTEN, evaluate_every=every, **told)
    silos = hierarchical.even(CLIENTS, SILOS[job.name])
    inside = plans.synchronous_sgd(passes * steps, BATCH, job.rate)
    return hierarchical.fit(MODEL, train, own, inside, silos, every=steps, evaluate_every=every, **told)


def alone(job: Job, passes: int = PASSES) -> dict[str, float]:
    """Return the accuracy (%) of clients that train as long as the others, each by itself."""
    train, test = images("mnist5k", job.tuning)
    model = sgd.FlatModel(MODEL.build(train.shape, len(train.classes), job.seed))
    start, hits = model.theta.clone(), []
    for client, part in enumerate(dealt(job.part, train, job.seed)):
        model.theta.copy_(start)
        shard = train.subset(part)
        steps = passes * sgd.steps_an_epoch(len(shard), BATCH)
        key = sgd.batch_key(job.seed, client)
        sgd.local_update(model, shard.x, shard.y, job.rate, BATCH, 0, steps, key)
        hits.append(100 * learning.accuracy(model.module, test))
    return {"nodes": round(float(np.mean(hits)), 2), "worst": round(min(hits), 1), "mean": nan}


def measure(job: Job, passes: int = PASSES) -> dict[str, Any]:
    """Return what one run came to."""
    if job.name == "alone":
        return alone(job, passes)
    try:
        run = fit(job, passes)
    except rounds.DivergedError:
        return {"nodes": nan, "worst": nan, "mean": nan}
    history = run.history
    nodes = history["node_accuracy"] if "node_accuracy" in history else history["accuracy"]
    worst = history["worst_node"] if "worst_node" in history else history["accuracy"]
    apart = history["consensus_error"] if "consensus_error" in history else 0 * history["accuracy"]
    found: dict[str, Any] = {
        "nodes": round(100 * float(nodes.iloc[-1]), 2), "worst": round(100 * float(worst.iloc[-1]), 1),
        "mean": round(100 * run.accuracy, 1), "apart": round(float(apart.iloc[-1]), 4),
    }  # fmt: skip
    if job.tuning:
        return found
    sent = run.traffic[~run.traffic["kind"].isin(["data", "evaluation"])]
    through = sent.groupby("sender")["bytes"].sum().add(sent.groupby("receiver")["bytes"].sum(), fill_value=0)
    found["total"] = round(sent["bytes"].sum() / 1e6, 2)
    found["across"] = round(sent.loc[sent["across"], "bytes"].sum() / 1e6, 2) if "across" in sent else found["total"]
    found["busiest"] = round(float(through.max()) / 1e6, 2)
    found["curve"] = [
        [number, round(100 * hit, 1), round(error, 3)]
        for number, (hit, error) in enumerate(zip(nodes, apart, strict=True), start=1)
        if number in (1, 2, 3) or number % 4 == 0
    ]
    return found


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    rows: list[dict[str, Any]] = []
    tuning: list[dict[str, Any]] = []
    for part, names in PARTS.items():
        for name in names:
            chosen = tuned(bench, part, name, GRID, TUNING_SEEDS, WIDEN, by="nodes")
            tried = [{"rate": tested, "accuracy": list(scores)} for tested, scores in chosen.tried.items()]
            tuning.append({"part": part, "name": name, "best": chosen.best, "at_edge": chosen.at_edge, "tried": tried})
            runs = bench.measured([Job(part, name, chosen.best, seed) for seed in SEEDS], f"{part}, {name}")
            rows.append({"part": part, "name": name, "rate": chosen.best, "seeds": list(SEEDS), "runs": runs})
            print(part, name, chosen.best, [run["nodes"] for run in runs], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "clients": CLIENTS, "passes": PASSES, "weights": 25_450,
        "tuning_seeds": list(TUNING_SEEDS), "tuning": tuning, "rows": rows,
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: the nodes' mean accuracy with half the 95% interval over the seeds that did not break, in percent."""
    table: dict[str, dict[str, Any]] = {}
    for row in found["rows"]:
        sound = [run["nodes"] for run in row["runs"] if not isnan(run["nodes"])]
        own = learning.interval(sound) if len(sound) > 1 else None
        table.setdefault(row["part"], {})[row["name"]] = [round(own.mean, 1), round(own.half_width, 1)] if own else None
    return {"accuracy (%)": table, "at the grid's edge": sum(entry["at_edge"] for entry in found["tuning"])}


QUICK = [("IID", "alone"), ("skewed", "server"), ("skewed", "ring"), ("IID", "push-sum"), ("lopsided silos", "4 silos")]


def quick() -> dict[str, Any]:
    """Return one rate, two seeds and three passes of a few contenders."""
    rows = [
        {"part": part, "name": name, "runs": [measure(Job(part, name, 0.2, seed), passes=3) for seed in (0, 1)]}
        for part, name in QUICK
    ]
    return {"rows": rows, "tuning": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a few contenders, one rate, two seeds, three passes; stores nothing"
    )
    given = parser.parse_args()
    if given.quick:
        found = quick()
    else:
        bench = Bench(measure, DONE)
        found = everything(bench)
        STORED.write_text(in_lines(found), encoding="utf-8")
        bench.forget()
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
