"""How long does a data-parallel step take? This course's, DistributedDataParallel's, and one process's on the same global batch.

    python benchmarks/data_parallel.py            four models on two workers: about four minutes on two cores
    python benchmarks/data_parallel.py --quick    a few steps of the smallest: a check that it runs

- ours: `rounds.fit` with `plans.synchronous_sgd`, from the seconds in its history: all that a step does, drawing the batches and
  recording the messages included.
- DDP: `DistributedDataParallel` and `torch.optim.SGD` as its tutorial writes them, over the same batches, which are drawn and
  gathered off the clock.
- alone: this course's step in one process on the batches of both workers, put together off the clock.

All start from the same weights and end with the same ones, to rounding, or the benchmark stops. Each process computes on one
thread. Everybody takes turns, a second or two at a time; a figure is the median over turns of the ratio within a turn, and a turn's
time is the median over stretches of its steps. The first stretch, in which caches fill and the gradient is recorded, is left out.

The last line is JSON. "ours_over_ddp": our time over DDP's, for each model. "efficiency": of the CNN, the time alone over twice
ours, which is 1 where two workers are twice as fast as one.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.learning import sgd
from course_lib.models import ModelSpec

WORKERS, RATE, SEED = 2, 0.05, 0
Batches = list[tuple[Tensor, Tensor]]
Measured = tuple[float, Tensor]  # seconds a step, and the weights `(d,)` in the end


@dataclass(frozen=True)
class Workload:
    """A model, how many images a step takes on each worker, and how many steps a stretch has, of which there are several."""

    name: str
    spec: ModelSpec
    images: int
    stretch: int
    stretches: int = 5

    @property
    def steps(self) -> int:
        return self.stretch * self.stretches


WORKLOADS = (
    Workload("mlp64", models.mlp((64,)), 20, 80),
    Workload("2nn", models.mlp(), 32, 60),
    Workload("lenet", models.lenet(), 64, 30),
    Workload("cnn", models.cnn(), 64, 22),
)


@cache
def examples() -> tuple[Dataset, list[np.ndarray]]:
    """Return the training images, and which of them each worker holds."""
    train, _ = data.load("mnist5k", seed=SEED)
    return train, data.partitions.iid(train.y, WORKERS, seed=SEED)


def batches(workload: Workload, shard: Dataset, worker: int) -> Batches:
    """Return the batches that `rounds.fit` gives a worker."""
    key = sgd.batch_key(SEED, worker)
    return list(sgd.batches(shard.x, shard.y, workload.images, 0, workload.steps, key))


def a_step(seconds_after: list[float], workload: Workload) -> float:
    """Return the seconds of one step from the seconds after each stretch, without the first."""
    return median(np.diff(seconds_after)) / workload.stretch


def timed(workload: Workload, step: Callable[[Tensor, Tensor], None], given: Batches) -> float:
    """Take a step on each batch; return the seconds of one."""
    after = []
    for number, (x, y) in enumerate(given, 1):
        step(x, y)
        if number % workload.stretch == 0:
            after.append(time.perf_counter())
    return a_step(after, workload)


def ours(workload: Workload) -> Measured:
    train, held = examples()
    plan = plans.synchronous_sgd(workload.steps, workload.images, RATE).but(data="stays")
    run = rounds.fit(
        workload.spec, train, held, plan, seed=SEED, workers=WORKERS, evaluate_every=workload.stretch
    )  # fmt: skip
    return a_step(run.history["seconds"].tolist(), workload), parameters_to_vector(run.model.parameters()).detach()


def ddp(workload: Workload) -> Measured:
    def on_a_worker(workload: Workload, shard: Dataset) -> Measured:
        given, module = batches(workload, shard, dist.get_rank()), new_model(workload, shard)
        model, loss_of = DistributedDataParallel(module), nn.CrossEntropyLoss()
        optimiser = torch.optim.SGD(model.parameters(), lr=RATE)

        def step(x: Tensor, y: Tensor) -> None:
            optimiser.zero_grad()
            loss_of(model(x), y).backward()
            optimiser.step()

        return timed(workload, step, given), parameters_to_vector(module.parameters()).detach()

    train, held = examples()
    measured: list[Measured] = cluster.launch(
        on_a_worker, workload, workers=WORKERS, per_rank=[(train.subset(own),) for own in held]
    )
    return measured[0]


def alone(workload: Workload) -> Measured:
    def on_one(workload: Workload, shards: list[Dataset]) -> Measured:
        model = sgd.FlatModel(new_model(workload, shards[0]))
        parts = zip(*(batches(workload, shard, worker) for worker, shard in enumerate(shards)), strict=True)
        given = [(torch.cat([x for x, _ in each]), torch.cat([y for _, y in each])) for each in parts]
        return timed(workload, lambda x, y: model.step(x, y, RATE), given), model.theta

    train, held = examples()
    measured: list[Measured] = cluster.launch(on_one, workload, [train.subset(own) for own in held], workers=1)
    return measured[0]


def new_model(workload: Workload, shard: Dataset) -> nn.Module:
    return workload.spec.build(shard.shape, len(shard.classes), SEED)


CONTENDERS: dict[str, Callable[[Workload], Measured]] = {"ours": ours, "ddp": ddp, "alone": alone}
Turn = dict[str, float]


def take_turns(workload: Workload, turns: int) -> list[Turn]:
    """Measure everybody `turns` times, each time beginning with another one; print and return the seconds of a step.

    Raises RuntimeError where somebody did not end with everybody's weights.
    """
    found = []
    for turn in range(turns):
        names = list(CONTENDERS)[turn % 3 :] + list(CONTENDERS)[: turn % 3]
        measured = {name: CONTENDERS[name](workload) for name in names}
        start = parameters_to_vector(new_model(workload, examples()[0]).parameters()).detach()
        check({name: theta - start for name, (_, theta) in measured.items()})
        found.append({name: seconds for name, (seconds, _) in measured.items()})
        print(
            f"{workload.name:6} turn {turn + 1}  " + "   ".join(f"{name} {1000 * found[-1][name]:8.3f} ms" for name in CONTENDERS),
            flush=True,
        )  # fmt: skip
    return found


def check(moved: dict[str, Tensor]) -> None:
    """Raise RuntimeError where somebody's weights did not move `(d,)` as DDP's did, but for rounding and what grows from it."""
    for name, own in moved.items():
        apart = float((own - moved["ddp"]).norm() / moved["ddp"].norm())
        if not apart < 0.05:
            raise RuntimeError(f"{name} ended {apart:.0%} of the way from DDP's weights: not the same steps")


def figures(turns: dict[str, list[Turn]]) -> dict[str, dict[str, float] | float | None]:
    """Return the ratios described above; None for the efficiency of a CNN that was not measured."""
    over_ddp = {name: round(median(turn["ours"] / turn["ddp"] for turn in each), 3) for name, each in turns.items()}
    efficiency = [turn["alone"] / (WORKERS * turn["ours"]) for turn in turns.get("cnn", ())]
    return {"ours_over_ddp": over_ddp, "efficiency": round(median(efficiency), 3) if efficiency else None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one turn of the smallest model")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--models", nargs="+", default=[workload.name for workload in WORKLOADS])
    arguments = parser.parse_args()
    chosen = [workload for workload in WORKLOADS if workload.name in arguments.models]
    if arguments.quick:
        chosen = [replace(WORKLOADS[0], stretch=8, stretches=3)]
    turns = {workload.name: take_turns(workload, 1 if arguments.quick else arguments.turns) for workload in chosen}
    print(json.dumps(figures(turns)))


if __name__ == "__main__":
    main()
