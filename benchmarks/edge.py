"""What a trained model loses when it is made smaller for the device that runs it: the study behind lesson 17's small models.

    python benchmarks/edge.py           everything, ten seeds: about a minute on one quiet core
    python benchmarks/edge.py --quick   one task, two seeds, a few timings; stores nothing

Three models, each trained by federated averaging with the rate that `benchmarks/cases.py` found (the 2NN: 0.2, not tuned, on
mnist5k dealt to twenty clients alike; a form is compared with its own whole model). A seed draws the records, the first weights and the batches. Each trained model is then judged as it is; in 8 bits; without
half, 80% and 90% of its weights, the smallest ones; and without 80%, in 8 bits. Nothing is trained again afterwards.

All goes to course_lib/classroom/studies/edge.json: accuracy in percent, one a seed; the bytes of the file; and microseconds on one thread for one
example and for a batch of 32, one a block, in which all forms take turns. The last line is JSON: mean accuracy with half its 95% interval.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import data, learning, models, plans, rounds
from course_lib.classroom.progress import track
from course_lib.data import Dataset
from course_lib.models import edge
from course_lib.study.cases import CASES, deal

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/edge.json"
CASES_STORED = STORED.with_name("cases.json")
SEEDS, BLOCKS, REPEATS = tuple(range(10)), 21, 20
FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "32 bits": lambda module: module,
    "8 bits": edge.quantised,
    "half left": partial(edge.pruned, share=0.5),
    "a fifth left": partial(edge.pruned, share=0.8),
    "a tenth left": partial(edge.pruned, share=0.9),
    "a fifth left, 8 bits": lambda module: edge.quantised(edge.pruned(module, 0.8)),
}
TASKS = ("2NN, digits", "LeNet, road signs", "small net, sensors")


def trained(task: str, seed: int, rates: Mapping[str, float]) -> tuple[nn.Module, Dataset]:
    """Return a model that FL trained, and what it is judged on."""
    if task == "2NN, digits":
        train, test = data.load("mnist5k", seed=seed)
        clients = data.partitions.iid(train.y, 20, seed=seed)
        model, plan = models.mlp(), plans.fedavg(8, 1.0, 1, 10, 0.2)
    else:
        case = CASES["driving" if task.startswith("LeNet") else "IoT sensors"]
        found = deal(case, seed)
        train, test, clients = found.train, found.test, found.clients
        model, plan = case.model, plans.fedavg(case.passes, 1.0, 1, case.batch, rates[case.name])
    run = rounds.fit(model, train, clients, plan, seed=seed, evaluate_every=plan.rounds)
    return run.model, test


def found_rates() -> dict[str, float]:
    """Return the rate of FL in each case, as the study of the cases chose it."""
    stored = json.loads(CASES_STORED.read_text(encoding="utf-8"))
    return {row["case"]: row["rate"] for row in stored["rows"] if row["way"] == "FL"}


@torch.inference_mode()
def latency(forms: Mapping[str, nn.Module], x: Tensor, blocks: int) -> dict[str, list[float]]:
    """Return microseconds a call, one a block; the forms take turns, so that a busy machine slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for block in range(blocks + 1):  # the first warms up
        for name, module in forms.items():
            calls = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                module(x)
                calls.append(time.perf_counter() - started)
            if block:
                taken[name].append(round(1e6 * statistics.median(calls), 1))
    return taken


def measured(task: str, seeds: tuple[int, ...], blocks: int, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row for each form of a task's model."""
    hits: dict[str, list[float]] = {name: [] for name in FORMS}
    for seed in track(seeds, task):
        module, test = trained(task, seed, rates)
        forms = {name: make(module).eval() for name, make in FORMS.items()}
        for name, form in forms.items():
            hits[name].append(round(100 * learning.accuracy(form, test), 2))
    one, many = (latency(forms, test.x[:batch], blocks) for batch in (1, 32))
    weights = sum(parameter.numel() for parameter in module.parameters())
    rows: list[dict[str, Any]] = [
        {"task": task, "form": name, "weights": weights, "accuracy": hits[name], "bytes": len(edge.pack(forms[name])),
         "microseconds": one[name], "microseconds, 32": many[name]}
        for name in FORMS
    ]  # fmt: skip
    print(task, {row["form"]: [round(statistics.mean(row["accuracy"]), 1), row["bytes"], statistics.median(row["microseconds"])]
                 for row in rows}, flush=True)  # fmt: skip
    return rows


def line(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last line."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        interval = learning.interval(row["accuracy"])
        table.setdefault(row["task"], {})[row["form"]] = [round(interval.mean, 1), round(interval.half_width, 1)]
    return {"accuracy (%)": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one task, two seeds; stores nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.quick:
        rows = measured(TASKS[2], SEEDS[:2], 2, {"IoT sensors": 0.25})
    else:
        rows = [row for task in TASKS for row in measured(task, SEEDS, BLOCKS, found_rates())]
        head = {
            "command": f"python benchmarks/{Path(__file__).name}",
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            "machine": f"{platform.machine()}, one thread", "seeds": list(SEEDS),
        }  # fmt: skip
        parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
        parts.append('"rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]")
        STORED.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    print(json.dumps(line(rows)))


if __name__ == "__main__":
    main()
