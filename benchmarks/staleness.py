"""What stale gradients and seldom merging cost, and what waiting costs: the study behind lesson 03.

    python benchmarks/staleness.py           everything; goes on where it was interrupted
    python benchmarks/staleness.py --quick   three contenders, one rate, two seeds: a check that it runs; stores nothing

The 1,437 training images of digits, a network of 2,410 weights, batches of 16 images a worker, everything through a server. A seed draws
the deal, the first weights, the batches and the order of arrivals. Each contender has its own learning rate, by `study.tune`: the worst of
three tuning seeds, judged on a fifth of the training images, which the tuning runs do not train on.

"staleness": 480 gradients one by one from 1 to 16 workers that are equally quick. "one rate": the same at the rate of one worker.
"low rate": one worker, whose gradients are fresh, at the rate of sixteen.
"aware": with staleness-aware steps. "momentum": the server steps with momentum 0.9.
"updates", "bytes", "time": four workers, one of which is five times slower, on equal terms: 480 gradients; as many bytes as local SGD
takes for those (it and DiLoCo merge every 10 steps); 1.5 simulated seconds. Each worker takes 100 steps a second, the slow one 20, and a
message goes at 125 MB a second.

All goes to course_lib/classroom/studies/staleness.json: accuracy in percent, and of each run's evaluations gradients, seconds and
accuracy. A run that broke has NaN for accuracy. The last line is JSON: mean accuracy and half its 95% interval.
"""

import tempfile
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import torch
from bench import Bench, Job, command, images, in_lines, tuned

from course_lib import data, learning, models, plans, rounds
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.diloco import DiLoCo
from course_lib.federated.participation import Device, Devices
from course_lib.plans import Plan
from course_lib.rounds import preparation

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/staleness.json"
DONE = Path(tempfile.gettempdir()) / "staleness.jsonl"  # the runs of a study that was interrupted
GRID, WIDEN, TUNING_SEEDS, SEEDS = (0.1, 0.2, 0.4), 7, (100, 101, 102), tuple(range(20))
MODEL, WEIGHTS = models.mlp((32,)), 2_410
GRADIENTS, BATCH, RACERS, LOCAL, SECONDS = 480, 16, 4, 10, 1.5
STALENESS = (1, 4, 8, 16)
ONE_BY_ONE = plans.asynchronous_sgd(GRADIENTS, BATCH)
MOMENTUM = DiLoCo(1.0, 0.9, nesterov=False)
AWARE = ONE_BY_ONE.but(asynchronous=Asynchronous(exponent=1.0, shorten=True))


def fleet(slow: float = 5.0, variation: float = 0.1) -> Devices:
    """Return four workers, the last of which is so many times slower than the others."""
    return Devices(
        [Device("worker", 100 / by, uplink=1.25e8, downlink=1.25e8) for by in (1, 1, 1, slow)], variation=variation
    )


def racers() -> dict[str, Plan]:
    """Return the ways to train with one slow worker, for 480 gradients."""
    star = {"exchange": "server", "fleet": fleet()}
    seldom = GRADIENTS // (RACERS * LOCAL)
    return {
        "synchronous": plans.synchronous_sgd(GRADIENTS // RACERS, BATCH).but(**star),
        "asynchronous": ONE_BY_ONE.but(fleet=fleet()),
        "local SGD": plans.local_sgd(seldom, LOCAL, BATCH).but(**star),
        "DiLoCo": plans.diloco(seldom, LOCAL, BATCH).but(**star),
    }


def in_time(plan: Plan, seed: int, sizes: Sequence[int]) -> Plan:
    """Return the plan with as many rounds as take place in the given time."""
    spent, done = 0.0, 0
    for now in preparation.attendance(plan.but(rounds=2 * GRADIENTS), sizes, WEIGHTS, seed):
        spent += now.seconds
        if spent > SECONDS:
            break
        done += 1
    return plan.but(rounds=done)


FEW = {
    "synchronous": GRADIENTS // (RACERS * LOCAL),
    "asynchronous": GRADIENTS // LOCAL,
}  # rounds with the bytes of local SGD
PARTS: dict[str, dict[str, tuple[Plan, int]]] = {  # the plan, and the number of workers
    "staleness": {str(n): (ONE_BY_ONE, n) for n in STALENESS},
    "one rate": {str(n): (ONE_BY_ONE, n) for n in STALENESS},
    "low rate": {"1": (ONE_BY_ONE, 1)},
    "updates": {name: (plan, RACERS) for name, plan in racers().items()},
    "momentum": {str(n): (ONE_BY_ONE.but(strategy=MOMENTUM), n) for n in (1, 16)},
    "aware": {"16": (AWARE, 16)},
    "bytes": {name: (racers()[name].but(rounds=number), RACERS) for name, number in FEW.items()},
    "time": {name: (plan, RACERS) for name, plan in racers().items()},
}


BORROWED = {"one rate": ("staleness", "1"), "low rate": ("staleness", "16")}  # parts at another contender's rate


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    train, test = images("digits", job.tuning)
    plan, workers = PARTS[job.part][job.name]
    dealt = data.partitions.iid(train.y, workers, seed=job.seed)
    plan = plan.but(learning_rate=job.rate)
    if job.part == "time":
        plan = in_time(plan, job.seed, [len(own) for own in dealt])
    every = max(1, plan.rounds // 10) if job.part in ("updates", "bytes", "time") and not job.tuning else plan.rounds
    try:
        run = rounds.fit(MODEL, train, dealt, plan, test=test, seed=job.seed, evaluate_every=every)
    except rounds.DivergedError:
        return {"accuracy": nan}
    if not all(parameter.isfinite().all() for parameter in run.model.parameters()):
        return {"accuracy": nan}
    each = plan.local_steps * (1 if plan.asynchronous else workers)  # type: ignore[operator]
    found: dict[str, Any] = {"accuracy": round(100 * run.accuracy, 1)}
    if every < plan.rounds:
        history = run.history[["round", "simulated_seconds", "accuracy"]].to_numpy(dtype=float).tolist()
        found["curve"] = [
            [int(number) * each, round(spent, 2), round(100 * hits, 1)] for number, spent, hits in history
        ]
        found["megabytes"] = round((run.bytes_sent - run.history["bytes_moved"].iloc[-1]) / 1e6, 1)
    if plan.asynchronous:
        late = run.arrivals["staleness"].value_counts().sort_index()
        found["staleness"] = list(map(list, zip(late.index.tolist(), late.tolist(), strict=True)))
    return found


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    rows: list[dict[str, Any]] = []
    tuning: list[dict[str, Any]] = []
    rates: dict[tuple[str, str], float] = {}
    for part, contenders in PARTS.items():
        for name in contenders:
            if part in BORROWED:
                rate = rates[BORROWED[part]]
            else:
                chosen = tuned(bench, part, name, GRID, TUNING_SEEDS, WIDEN)
                rate = rates[part, name] = chosen.best
                tried = [{"rate": tested, "accuracy": list(scores)} for tested, scores in chosen.tried.items()]
                tuning.append({"part": part, "name": name, "best": rate, "at_edge": chosen.at_edge, "tried": tried})
            runs = bench.measured([Job(part, name, rate, seed) for seed in SEEDS], f"{part}, {name}")
            rows.append({"part": part, "name": name, "rate": rate, "seeds": list(SEEDS), "runs": runs})
            print(part, name, rate, [run["accuracy"] for run in runs], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "tuning_seeds": list(TUNING_SEEDS), "tuning": tuning, "rows": rows,
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: mean accuracy with half the 95% interval over the seeds that did not break, in percent."""
    table: dict[str, dict[str, Any]] = {}
    for row in found["rows"]:
        sound = [run["accuracy"] for run in row["runs"] if run["accuracy"] == run["accuracy"]]
        own = learning.interval(sound) if len(sound) > 1 else None
        said = [round(own.mean, 1), round(own.half_width, 1)] if own else None
        table.setdefault(row["part"], {})[row["name"]] = said
    return {"accuracy (%)": table, "at the grid's edge": sum(entry["at_edge"] for entry in found["tuning"])}


def quick(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return one rate and two seeds of three contenders."""
    rows = [
        {"part": part, "name": name, "runs": bench.measured([Job(part, name, 0.1, seed) for seed in (0, 1)], name)}
        for part, name in [("staleness", "4"), ("bytes", "asynchronous"), ("time", "DiLoCo")]
    ]
    return {"rows": rows, "tuning": []}


if __name__ == "__main__":
    command(__doc__, "three contenders, one rate, two seeds", everything, quick, measure, line, STORED, DONE, in_lines)
