"""What does differential privacy cost in accuracy? The study behind lesson 12.

    python benchmarks/private_accuracy.py            everything, twenty seeds: about fifteen minutes of one core; goes on where it was stopped
    python benchmarks/private_accuracy.py --full     all of MNIST, beside Opacus's table: see private_at_full_scale.py
    python benchmarks/private_accuracy.py --quick    one epsilon, two seeds, and the timings: a check that it runs; stores nothing

4,000 images of mnist5k to train on, 600 to test on, 400 to tune on; a network with 64 hidden units (50,890 weights). Three ways:
one owner of all images adds the noise ("central", DP-SGD); ten clients of 400 images each add their own ("clients", DP-SGD in
FedAvg); a server adds it for 400 users of ten images each ("users", DP-FedAvg). Each way at epsilon 1, 3, 8 and with neither noise
nor clipping, on the same batches and cohorts. Delta is a tenth of 1 / the units. A seed draws the deal, the first weights, the
batches and the noise; the split stays.

Sample rates and the number of steps are fixed (`WAYS`), not tuned. Clipping norm and learning rate are chosen for each way and
epsilon by `study.tune`, the worst of three tuning seeds on the validation images, over the grids in `WAYS`. That choice looks at
data too: each tuning run trains on the people that epsilon protects, and no epsilon here counts those runs.

Timings: our private step over Opacus's default loop and over its ghost clipping, batch 64, one thread, interleaved.
All goes to course_lib/classroom/studies/private_accuracy.json. The last line is JSON: means with half a 95% interval in percent, and
"step_over_opacus" and "step_over_ghost" (goals: 0.1 for the 2NN and 0.5 for LeNet over the default, 1.0 over ghost clipping).
"""

import argparse
import json
import re
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench
from torch import Tensor

from course_lib import data, learning, models, plans, rounds, study
from course_lib.data import Dataset
from course_lib.learning.sgd import FlatModel
from course_lib.plans import Plan
from course_lib.privacy.accounting import noise_for
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.guarantee import Guarantee
from course_lib.privacy.user_level import UserLevel

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/private_accuracy.json"
UNFINISHED = STORED.with_suffix(".unfinished")
MODEL = models.mlp((64,))
SEEDS, TUNING_SEEDS = tuple(range(20)), (100, 101, 102)
EPSILONS = (1.0, 3.0, 8.0)


@dataclass(frozen=True)
class Way:
    """What is fixed of a way, and the grids: for each value of `first`, `second` is tuned.

    DP-SGD: `first` is the clipping norm, `second` the length of a step, learning rate x clipping norm. Users: `first` is the
    learning rate, `second` the clipping norm. Without privacy `second` is the learning rate.
    """

    parties: int
    units: int
    sample_rate: float
    steps: int
    first: tuple[float, ...]
    second: tuple[float, ...]
    rates: tuple[float, ...] = (0.1, 0.2, 0.4)

    @property
    def delta(self) -> float:
        return 0.1 / self.units


WAYS = {
    "central": Way(10, 4000, 0.1, 100, (0.5, 2.0), (1.0, 2.0, 4.0, 8.0)),
    "clients": Way(10, 4000, 0.1, 100, (0.5, 2.0), (1.0, 2.0, 4.0)),
    "users": Way(400, 400, 0.25, 40, (0.1, 0.4), (0.1, 0.25, 0.625)),
}


@dataclass(frozen=True)
class Job:
    """One run. `epsilon` None: neither noise nor clipping. `tuning`: judged on the validation images."""

    way: str
    epsilon: float | None
    noise: float
    first: float
    second: float
    seed: int
    tuning: bool = False

    @property
    def clip_and_rate(self) -> tuple[float, float]:
        if self.epsilon is None:
            return inf, self.second
        return (self.second, self.first) if self.way == "users" else (self.first, self.second / self.first)

    def plan(self) -> Plan:
        way, (clip, rate) = WAYS[self.way], self.clip_and_rate
        if self.way == "users":
            plan = plans.fedavg(way.steps, way.sample_rate, epochs=2, batch_size=10, learning_rate=rate)
            return plan.but(privacy=UserLevel(self.noise, clip))
        epochs = round(way.steps * way.sample_rate)
        if self.way == "central":
            plan = plans.centralised(epochs, 400, rate)
        else:
            plan = plans.fedavg(epochs, 1.0, epochs=1, batch_size=40, learning_rate=rate)
        return plan.but(privacy=ExampleLevel(self.noise, clip, way.sample_rate))


@cache
def pools() -> tuple[Dataset, Dataset, Dataset]:
    """Return 4,000 images to train on, 600 to test on and 400 to tune on."""
    train, others = data.load("mnist5k", test_fraction=0.2)
    test, validation = data.hold_out(others, 0.4)
    return train, test, validation


def measure(job: Job) -> float:
    """Return the accuracy of one run (0 to 1), NaN where it broke."""
    torch.set_num_threads(1)
    train, test, validation = pools()
    parts, plan = data.partitions.iid(train.y, WAYS[job.way].parties, job.seed), job.plan()
    judge = validation if job.tuning else test
    try:
        run = rounds.fit(MODEL, train, parts, plan, test=judge, seed=job.seed, evaluate_every=plan.rounds)
    except rounds.DivergedError:
        return float("nan")
    return round(run.accuracy, 4)


def row(bench: Bench[Job, float], name: str, epsilon: float | None, seeds: Sequence[int]) -> dict[str, Any]:
    """Return one way at one epsilon: what was tried, what was chosen, the guarantee and the accuracies."""
    way = WAYS[name]
    noise = 0.0 if epsilon is None else noise_for(epsilon, way.sample_rate, way.steps, way.delta)
    firsts, grid = (way.first, way.second) if epsilon else ((0.0,), way.rates)
    tried: list[dict[str, Any]] = []
    for first in firsts:
        found = study.tune(
            lambda pairs, first=first: bench.measured(  # type: ignore[misc]
                [Job(name, epsilon, noise, first, second, seed, tuning=True) for second, seed in pairs], f"Tuning {name}"
            ),
            grid, TUNING_SEEDS,
        )  # fmt: skip
        tried += [
            {"first": first, "second": second, "accuracy": list(own), "chosen": second == found.best,
             "at_edge": second == found.best and found.at_edge}
            for second, own in found.tried.items()
        ]  # fmt: skip
    best = max((one for one in tried if one["chosen"]), key=lambda one: min(one["accuracy"]))
    jobs = [Job(name, epsilon, noise, best["first"], best["second"], seed) for seed in seeds]
    clip, rate = jobs[0].clip_and_rate
    result: dict[str, Any] = {
        "way": name, "epsilon": epsilon, "noise_multiplier": noise, "clipping_norm": None if clip == inf else clip,
        "learning_rate": rate, "at_edge": best["at_edge"], "tried": tried, "accuracy": bench.measured(jobs, name),
    }  # fmt: skip
    if epsilon:
        result |= {"guarantee": str(guarantee(name, noise)), "claimed": round(guarantee(name, noise).epsilon, 3)}
    print(name, epsilon, {"clip": clip, "rate": rate}, round(100 * float(np.mean(result["accuracy"])), 1), flush=True)
    return result


def guarantee(name: str, noise: float) -> Guarantee:
    """Return what a way promises, as `Run.guarantee` would say it."""
    from course_lib.privacy.of_runs import spending

    way = WAYS[name]
    plan = Job(name, 1.0, noise, 1.0, 1.0, 0).plan()
    sizes = [way.units] if name == "central" else [4000 // way.parties] * way.parties
    each = way.steps // plan.rounds  # steps that a participant takes in a round
    taken = [dict.fromkeys(range(len(sizes)), each)] * plan.rounds
    assert plan.privacy is not None
    return spending(plan.privacy, None, name == "central", sizes, taken, plan.participation).guarantee(plan.rounds)


def steps_of(name: str) -> dict[str, Callable[[], None]]:
    """Return one private step at batch 64 on the same images: ours, Opacus's default, and its ghost clipping."""
    from opacus import GradSampleModule
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    train, _, _ = pools()
    x, y = train.x[:64], train.y[:64]
    spec = models.mlp() if name == "2NN" else models.lenet()
    settings, ours = ExampleLevel(1.0, 1.0, 64 / len(train)), FlatModel(spec.build(train.shape, 10, 0))
    noise = torch.Generator().manual_seed(0)

    def our_step() -> None:
        ours.theta.add_(settings.gradient(ours, x, y, 64.0, noise), alpha=-0.1)

    told: dict[str, Any] = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "expected_batch_size": 64}
    plain = GradSampleModule(spec.build(train.shape, 10, 0))
    default = DPOptimizer(torch.optim.SGD(plain.parameters(), lr=0.1), **told)

    def opacus_step() -> None:
        default.zero_grad()
        torch.nn.functional.cross_entropy(plain(x), y).backward()
        default.step()

    fast = GradSampleModuleFastGradientClipping(
        spec.build(train.shape, 10, 0), max_grad_norm=1.0, use_ghost_clipping=True
    )
    ghost = DPOptimizerFastGradientClipping(torch.optim.SGD(fast.parameters(), lr=0.1), **told)
    loss: Callable[[Tensor, Tensor], Any] = DPLossFastGradientClipping(fast, ghost, torch.nn.CrossEntropyLoss())

    def ghost_step() -> None:
        ghost.zero_grad()
        loss(fast(x), y).backward()
        ghost.step()

    return {"ours": our_step, "opacus": opacus_step, "ghost": ghost_step}


def timings(blocks: int = 15, steps: int = 8) -> dict[str, Any]:
    """Return milliseconds a step, one value a block; in each block the three take turns, so that a busy machine slows all."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus: hooks on a first layer, whose input needs no gradient
        for name in ("2NN", "LeNet"):
            made = steps_of(name)
            for step in made.values():
                for _ in range(3):
                    step()
            taken: dict[str, list[float]] = {which: [] for which in made}
            for _ in range(blocks):
                for which, step in made.items():
                    started = time.process_time()
                    for _ in range(steps):
                        step()
                    taken[which].append(round(1e3 * (time.process_time() - started) / steps, 3))
            found[name] = taken
    return found


def ratios(taken: dict[str, Any], over: str) -> dict[str, float]:
    """Return our time over another's, the median of the blocks' ratios."""
    return {
        name: round(float(np.median(np.array(own["ours"]) / np.array(own[over]))), 3) for name, own in taken.items()
    }


def text(found: dict[str, Any]) -> str:
    """Return the study as JSON with every list of numbers in one line."""
    numbers = re.compile(r"\[\s+([^\[\]{}]+?)\s+\]")
    return numbers.sub(lambda some: f"[{' '.join(some[1].split())}]", json.dumps(found, indent=1)) + "\n"


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line."""
    table: dict[str, dict[str, list[float]]] = {}
    for one in found["rows"]:
        interval = learning.interval([100 * accuracy for accuracy in one["accuracy"]])
        table.setdefault(one["way"], {})[str(one["epsilon"])] = [
            round(interval.mean, 1),
            round(interval.half_width, 1),
        ]
    return {
        "accuracy (%)": table, "at the grid's edge": sum(one["at_edge"] for one in found["rows"]),
        "step_over_opacus": ratios(found["milliseconds"], "opacus"), "step_over_ghost": ratios(found["milliseconds"], "ghost"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one epsilon, two seeds, and the timings; nothing is stored"
    )
    parser.add_argument(
        "--full", action="store_true", help="all of MNIST beside Opacus's table, see private_at_full_scale.py"
    )
    given = parser.parse_args()
    if given.full:
        import private_at_full_scale

        print(json.dumps(private_at_full_scale.main()))
        return
    quick = given.quick
    bench = Bench(measure, None if quick else UNFINISHED)
    cells = [("central", 8.0)] if quick else [(name, epsilon) for name in WAYS for epsilon in (*EPSILONS, None)]
    found = {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "opacus": __import__("opacus").__version__},
        "data": "mnist5k: 4000 images to train on, 600 to test on, 400 to tune on",
        "model": "models.mlp((64,)), 50,890 weights",
        "ways": {name: {"parties": way.parties, "units": way.units, "sample_rate": way.sample_rate, "steps": way.steps,
                        "delta": way.delta} for name, way in WAYS.items()},
        "seeds": list(SEEDS), "tuning_seeds": list(TUNING_SEEDS),
        "milliseconds": timings(),
        "rows": [row(bench, *cell, SEEDS[:2] if quick else SEEDS) for cell in cells],
    }  # fmt: skip
    if not quick:
        STORED.write_text(text(found), encoding="utf-8")
        bench.forget()
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
