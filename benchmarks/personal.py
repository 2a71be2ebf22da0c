"""One model or many? Who gains and who loses, by the way of training and by the skew: the study behind lesson 10.

    python benchmarks/personal.py            everything, eight seeds: about ten minutes on two cores
    python benchmarks/personal.py --quick    three ways, one skew, two seeds: a check that it runs; stores nothing

1,500 images of mnist5k on 30 clients, a network with 32 hidden units; each client is judged on 200 test images that have its own
mixture of digits. The budget is equal: the model that a client ends with has gone 20 times over the client's images. A seed
draws the deal, the test images, the first weights and the batches.

Each way has, for each skew, a rate chosen by `study.tune` (the worst of three tuning seeds), judged on images of a validation pool that
the results do not use. "shared, other luck" is the shared way again, on the same deal and tests, with other first weights and batches:
what two runs of one method differ by.

The newcomers are six clients more, who took no part in training: they take the shared model of the others as it is, fine-tune it for five
passes, or train alone for 20.

All goes to course_lib/classroom/studies/personal.json: client accuracies in percent, one list a seed. The last line is JSON: mean
and half the 95% interval of the clients' mean.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib import data, learning, models, plans, rounds, study
from course_lib.classroom.progress import progress
from course_lib.data import Dataset
from course_lib.federated.clustering import IFCA
from course_lib.federated.personalisation import Ditto, FedPer, FineTune
from course_lib.federated.strategies import QFedAvg
from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.plans import Plan

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/personal.json"
CLIENTS, NEWCOMERS, PASSES, BATCH, TESTS = 30, 6, 20, 10, 200
MODEL = models.mlp(hidden=(32,))
SEEDS, TUNING_SEEDS = tuple(range(8)), (100, 101, 102)
GRID = (0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Alone(Strategy):
    """Each client trains a model of its own, and hears nothing of the others."""

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        own = state.get("own", received)
        return torch.zeros_like(received), {"own": own + work.train(own)}

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        return state.get("own", received)


# Of each way: its strategy, and the rounds of one pass; fine-tuning takes its passes from the end of the budget.
WAYS: dict[str, tuple[Strategy | None, int]] = {
    "shared": (None, PASSES),
    "shared, other luck": (None, PASSES),
    "shared, 5 rounds": (None, 5),
    "shared, 10 rounds": (None, 10),
    "alone": (Alone(), PASSES),
    "fine-tuned, 1 pass": (FineTune(epochs=1), PASSES - 1),
    "fine-tuned, 5 passes": (FineTune(epochs=5), PASSES - 5),
    "FedPer": (FedPer(layers=1), PASSES),
    "Ditto, pull 0.1": (Ditto(pull=0.1), PASSES),
    "Ditto, pull 1": (Ditto(pull=1.0), PASSES),
    "IFCA, 3 models": (IFCA(clusters=3), PASSES),
    "q-FedAvg, q = 0.1": (QFedAvg(q=0.1), PASSES),
    "q-FedAvg, q = 1": (QFedAvg(q=1.0), PASSES),
}
# These are the shared way at another time or with other luck: they have its rate.
AS_SHARED = ("shared, other luck", "shared, 5 rounds", "shared, 10 rounds")
# On the mixtures everything is tried, on the two extremes what decides.
SKEWS: dict[str, tuple[str, ...]] = {
    "mixtures": tuple(WAYS),
    "IID": ("shared", "alone", "fine-tuned, 5 passes", "IFCA, 3 models"),
    "two shards": ("shared", "alone", "fine-tuned, 5 passes", "IFCA, 3 models"),
}


@dataclass(frozen=True)
class Job:
    """One run. `tuning`: judged on the validation pool."""

    skew: str
    way: str
    rate: float
    seed: int
    tuning: bool = False


@cache
def pools() -> tuple[Dataset, Dataset, Dataset]:
    """Return 1,500 images to train on, 2,500 to test on, and a validation pool of 1,000."""
    train, others = data.load("mnist5k", test_fraction=0.7)
    test, validation = data.hold_out(others, 1000 / len(others))
    return train, test, validation


def deal(skew: str, y: Tensor, seed: int, clients: int = CLIENTS) -> list[np.ndarray]:
    """Deal the images: identically distributed ("IID"), by Dirichlet(0.3) ("mixtures"), or two shards of the sorted images each."""
    if skew == "IID":
        return data.partitions.iid(y, clients, seed)
    if skew == "two shards":
        return data.partitions.shards(y, clients, 2, seed)
    return data.partitions.dirichlet(y, clients, 0.3, seed)


def own_tests(train: Dataset, pool: Dataset, parts: Sequence[np.ndarray], seed: int, size: int) -> list[np.ndarray]:
    """Draw for each client `size` images of the pool with the shares of digits that its training images have."""
    chance, found = np.random.default_rng(seed), []
    labels = pool.y.numpy()
    for indices in parts:
        wanted = size * np.bincount(train.y[indices], minlength=10) / len(indices)
        counts = np.floor(wanted).astype(int)
        counts[np.argsort(counts - wanted)[: size - counts.sum()]] += 1  # the largest remainders
        drawn = [chance.permutation(np.flatnonzero(labels == digit))[:count] for digit, count in enumerate(counts)]
        found.append(np.concatenate(drawn))
    return found


def plan_of(way: str, rate: float) -> Plan:
    """Return the plan of a way: everyone takes part, one pass a round."""
    strategy, passes = WAYS[way]
    return plans.fedavg(passes, 1.0, 1, BATCH, rate).but(name=way, strategy=strategy)


def measure(job: Job) -> list[float]:
    """Return each client's accuracy in percent on its own tests; NaN for all of them where the run broke."""
    train, test, validation = pools()
    parts = deal(job.skew, train.y, job.seed)
    pool, size = (validation, 80) if job.tuning else (test, TESTS)
    tests = own_tests(train, pool, parts, job.seed, size)
    luck = job.seed + 10_000 * (job.way == "shared, other luck")
    plan = plan_of(job.way, job.rate)
    try:
        run = rounds.fit(
            MODEL, train, parts, plan, test=pool, seed=luck, evaluate_every=plan.rounds, local_tests=tests
        )  # fmt: skip
    except rounds.DivergedError:
        return [float("nan")] * len(parts)
    return [round(100 * float(value), 1) for value in run.client_accuracy]


def newcomers(job: Job) -> dict[str, list[float]]:
    """Return the accuracies in percent of six clients that took no part in training, for what each can do."""
    train, test, _ = pools()
    parts = deal(job.skew, train.y, job.seed, CLIENTS + NEWCOMERS)
    tests = own_tests(train, test, parts, job.seed, TESTS)
    shared = rounds.fit(MODEL, train, parts[:CLIENTS], plan_of("shared", job.rate), seed=job.seed)
    found: dict[str, list[float]] = {"shared as it is": [], "fine-tuned, 5 passes": [], "alone": []}
    for part, own in zip(parts[CLIENTS:], tests[CLIENTS:], strict=True):
        local, judge = train.subset(part), test.subset(own)
        tuned, alone = (
            rounds.fit(
                start, local, [range(len(part))], plans.centralised(passes, BATCH, job.rate), seed=job.seed
            ).model
            for start, passes in ((shared.model, 5), (MODEL, PASSES))
        )
        for name, model in zip(found, (shared.model, tuned, alone), strict=True):
            found[name].append(round(100 * learning.accuracy(model, judge), 1))
    return found


def measured(pool: Pool, task: Any, jobs: Sequence[Any], label: str) -> list[Any]:
    """Return the results of all jobs, in their order; the pool's processes share the work."""
    advance, found = progress(len(jobs), label), []
    for result in pool.imap(task, jobs):
        found.append(result)
        advance(len(found), len(jobs))
    return found


def tuned(pool: Pool, skew: str, way: str) -> study.Tuned:
    """Return the rate of a way on a skew: the best mean over clients for the worst of the tuning seeds."""
    return study.tune(
        lambda jobs: [
            float(np.mean(values))
            for values in measured(
                pool, measure, [Job(skew, way, rate, seed, tuning=True) for rate, seed in jobs], f"Tuning {way}")
        ],
        GRID, TUNING_SEEDS,
    )  # fmt: skip


def everything(pool: Pool, skews: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the whole study."""
    rows, tuning, late = [], [], []
    for skew, ways in skews.items():
        chosen = {way: tuned(pool, skew, way) for way in ways if way not in AS_SHARED}
        tuning += [
            {"skew": skew, "way": way, "best": found.best, "at_edge": found.at_edge,
             "tried": [{"rate": rate, "accuracy": [round(s, 1) for s in scores]} for rate, scores in found.tried.items()]}
            for way, found in chosen.items()
        ]  # fmt: skip
        rates = {way: chosen["shared" if way in AS_SHARED else way].best for way in ways}
        jobs = [Job(skew, way, rates[way], seed) for way in ways for seed in seeds]
        found = measured(pool, measure, jobs, f"Runs, {skew}")
        for position, way in enumerate(ways):
            own = found[position * len(seeds) : (position + 1) * len(seeds)]
            rows.append({"skew": skew, "way": way, "rate": rates[way], "clients": own})
            print(skew, way, rates[way], round(float(np.mean(own)), 1), flush=True)
        by_seed = measured(pool, newcomers, [Job(skew, "shared", rates["shared"], seed) for seed in seeds], "Newcomers")
        late += [{"skew": skew, "way": way, "clients": [one[way] for one in by_seed]} for way in by_seed[0]]
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": "mnist5k: 1500 images to train on, 2500 to test on, 1000 to tune on",
        "model": "models.mlp(hidden=(32,)), 25,450 weights",
        "budget": {"passes": PASSES, "batch_size": BATCH, "clients": CLIENTS},
        "seeds": list(seeds), "tuning_seeds": list(TUNING_SEEDS),
        "tuning": tuning, "rows": rows, "newcomers": late,
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: mean over clients, with half the 95% interval over seeds, in percent."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in found["rows"]:
        interval = learning.interval([float(np.mean(clients)) for clients in row["clients"]])
        table.setdefault(row["skew"], {})[row["way"]] = [round(interval.mean, 1), round(interval.half_width, 1)]
    return {"mean over clients (%)": table, "at the grid's edge": sum(entry["at_edge"] for entry in found["tuning"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three ways, one skew, two seeds; nothing is stored")
    quick = parser.parse_args().quick
    with get_context("spawn").Pool(2) as pool:
        if quick:
            found = everything(pool, {"mixtures": ("shared", "alone", "IFCA, 3 models")}, SEEDS[:2])
        else:
            found = everything(pool, SKEWS, SEEDS)
    if not quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
