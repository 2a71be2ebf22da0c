"""The same digits through thirty cameras: is it the weights or the inputs that should be personal? The study behind lesson 10.

    python benchmarks/cameras.py            everything, eight seeds: about five minutes on two cores
    python benchmarks/cameras.py --quick    two ways, two seeds: a check that it runs; stores nothing

All clients hold all digits (IID), but client k's images are k steps paler, and for odd k the background is brighter too. Test images
come through the client's own camera. Five ways:

- shared: a network without normalising layers, one model for all;
- shared, adjusted images: the same, but each client scales its images by the mean and the deviation of its training images;
- shared BatchNorm: a network with BatchNorm, whose running means and variances are averaged like weights;
- own statistics: all weights are shared, only running means and variances stay with the client (Andreux et al. 2020, arXiv 2008.07424);
- FedBN: BatchNorm's weights stay as well (Li et al. 2021, arXiv 2102.07623).

Data, budget, rates and seeds as in personal.py. All goes to course_lib/classroom/studies/cameras.json. The last line is JSON: mean and
half the 95% interval of the clients' mean accuracy in percent.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from personal import BATCH, CLIENTS, GRID, MODEL, PASSES, SEEDS, TUNING_SEEDS, measured, pools
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import data, learning, models, plans, rounds, study
from course_lib.data import Dataset
from course_lib.federated.personalisation import FedBN
from course_lib.federated.strategy import LocalWork, State, Strategy

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/cameras.json"
NORMED = models.normalised(32)


def running(module: nn.Module) -> list[Tensor]:
    """Return the running means and variances of a module's normalising layers."""
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]


@dataclass(frozen=True)
class SharedBatchNorm(Strategy):
    """Federated averaging of weights and of running statistics: a message is the change of the first, and the second."""

    batch_norm: ClassVar[bool] = True
    statistics: Tensor | None = field(default=None, repr=False, compare=False)

    def fitted(self, module: nn.Module) -> "Strategy":
        return replace(self, statistics=parameters_to_vector(running(module)).clone())

    def server_start(self, theta: Tensor) -> State:
        assert self.statistics is not None
        return {"statistics": self.statistics.clone()}

    def download(self, theta: Tensor, server: State) -> Tensor:
        return torch.cat([theta, server["statistics"]])

    def _split(self, message: Tensor) -> tuple[Tensor, Tensor]:
        assert self.statistics is not None
        return message[: -len(self.statistics)], message[-len(self.statistics) :]

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        delta = work.train(self.personal(received, state, work))
        return torch.cat([delta, parameters_to_vector(running(work.model.module))]), state

    def message_size(self, weights: int) -> int:
        assert self.statistics is not None
        return weights + len(self.statistics)

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        delta, statistics = self._split(mean)
        return theta + delta, {"statistics": statistics}

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        theta, statistics = self._split(received)
        start = 0
        for buffer in running(work.model.module):
            buffer.copy_(statistics[start : start + buffer.numel()].view_as(buffer))
            start += buffer.numel()
        return theta


class OwnStatistics(FedBN):
    """All weights are shared; only the running means and variances stay with the client."""

    def fitted(self, module: nn.Module) -> "Strategy":
        fitted = super().fitted(module)
        assert isinstance(fitted, FedBN)
        return replace(fitted, kept=())


WAYS: dict[str, tuple[models.ModelSpec, Strategy | None, bool]] = {
    "shared": (MODEL, None, False),
    "shared, adjusted images": (MODEL, None, True),
    "shared BatchNorm": (NORMED, SharedBatchNorm(), False),
    "own statistics": (NORMED, OwnStatistics(), False),
    "FedBN": (NORMED, FedBN(), False),
}


@dataclass(frozen=True)
class Job:
    """One run. `tuning`: judged on the validation pool."""

    way: str
    rate: float
    seed: int
    tuning: bool = False


def seen(x: Tensor, parts: Sequence[np.ndarray]) -> Tensor:
    """Return the images as each client's camera takes them."""
    x = x.clone()
    for k, indices in enumerate(parts):
        loss = 0.9 * k / len(parts)
        x[indices] = x[indices] * (1 - loss) + loss * (k % 2)
    return x


def cameras(
    train: Dataset, pool: Dataset, seed: int, adjust: bool
) -> tuple[Dataset, list[np.ndarray], Dataset, list[np.ndarray]]:
    """Return training and test images through the cameras, and which are whose; `adjust`: by the training images' statistics."""
    parts, tests = (data.partitions.iid(one.y, CLIENTS, seed) for one in (train, pool))
    x, unseen = seen(train.x, parts), seen(pool.x, tests)
    if adjust:
        for own, judged in zip(parts, tests, strict=True):
            mean, deviation = x[own].mean(), x[own].std()
            unseen[judged] = (unseen[judged] - mean) / deviation
            x[own] = (x[own] - mean) / deviation
    return replace(train, x=x), parts, replace(pool, x=unseen), tests


def measure(job: Job) -> list[float]:
    """Return each client's accuracy in percent on its own tests; NaN for all of them where the run broke."""
    train, test, validation = pools()
    model, strategy, adjust = WAYS[job.way]
    taken, parts, judged, tests = cameras(train, validation if job.tuning else test, job.seed, adjust)
    plan = plans.fedavg(PASSES, 1.0, 1, BATCH, job.rate).but(name=job.way, strategy=strategy)
    try:
        run = rounds.fit(
            model, taken, parts, plan, test=judged, seed=job.seed, evaluate_every=plan.rounds, local_tests=tests
        )  # fmt: skip
    except rounds.DivergedError:
        return [float("nan")] * CLIENTS
    return [round(100 * float(value), 1) for value in run.client_accuracy]


def everything(pool: Pool, ways: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the whole study."""

    def tuned(way: str) -> study.Tuned:
        def scored(jobs: Sequence[tuple[float, int]]) -> list[float]:
            asked = [Job(way, rate, seed, tuning=True) for rate, seed in jobs]
            return [float(np.mean(values)) for values in measured(pool, measure, asked, f"Tuning {way}")]

        return study.tune(scored, GRID, TUNING_SEEDS)

    chosen = {way: tuned(way) for way in ways}
    found = measured(pool, measure, [Job(way, chosen[way].best, seed) for way in ways for seed in seeds], "Runs")
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "data": "mnist5k: 1500 images to train on, 2500 to test on, 1000 to tune on",
        "budget": {"passes": PASSES, "batch_size": BATCH, "clients": CLIENTS},
        "seeds": list(seeds), "tuning_seeds": list(TUNING_SEEDS),
        "tuning": [
            {"way": way, "best": one.best, "at_edge": one.at_edge,
             "tried": [{"rate": rate, "accuracy": [round(s, 1) for s in scores]} for rate, scores in one.tried.items()]}
            for way, one in chosen.items()
        ],
        "rows": [
            {"way": way, "rate": chosen[way].best, "clients": found[at * len(seeds) : (at + 1) * len(seeds)]}
            for at, way in enumerate(ways)
        ],
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: mean over clients, with half the 95% interval over seeds, in percent."""
    intervals = {
        row["way"]: learning.interval([float(np.mean(own)) for own in row["clients"]]) for row in found["rows"]
    }
    return {"mean over clients (%)": {way: [round(i.mean, 1), round(i.half_width, 1)] for way, i in intervals.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two ways, two seeds; nothing is stored")
    quick = parser.parse_args().quick
    with get_context("spawn").Pool(2) as pool:
        found = everything(pool, ("shared", "FedBN"), SEEDS[:2]) if quick else everything(pool, list(WAYS), SEEDS)
    if not quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
