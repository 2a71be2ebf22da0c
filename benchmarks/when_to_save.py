"""How often to save, where machines fail at random: what real runs lost, and what Young's and Daly's formulas say.

    python benchmarks/when_to_save.py           everything: about three minutes
    python benchmarks/when_to_save.py --quick   two intervals, one seed: a check that it runs; stores nothing

A run of 120 rounds (FedAvg, logistic regression, the 1,437 digits of scikit-learn) keeps checkpoints. Its process fails after a random
number of rounds, 40 on average: a `RuntimeError` out of the loop, after which nothing in memory is used again. A new run goes on from
the last checkpoint, until all rounds are there, with the undisturbed run's weights to the bit. Counted are rounds that were trained and
checkpoints that were written, so the numbers do not depend on how busy the computer is; how many rounds a save takes as long as is
measured once.

All goes to course_lib/classroom/studies/when_to_save.json. The last line is JSON: the best interval measured, and those of the formulas.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.classroom.progress import track
from course_lib.distributed import failures
from course_lib.distributed.recovery import Checkpoints

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/when_to_save.json"
ROUNDS, BETWEEN_FAILURES = 120, 40
INTERVALS, SEEDS = (1, 2, 5, 10, 20, 40, 120), tuple(range(20))
PLAN = plans.fedavg(rounds=ROUNDS, participation=0.1, epochs=1, batch_size=10)


class FailedError(RuntimeError):
    """The machine fails."""


def fit(checkpoints: Checkpoints | None = None, progress: Any = None) -> rounds.Run:
    """Run the plan, from the last checkpoint if there is one."""
    train, _ = data.load("digits")
    clients = data.partitions.iid(train.y, 10)
    return rounds.fit(
        models.logistic(), train, clients, PLAN, seed=0, evaluate_every=ROUNDS, checkpoints=checkpoints, progress=progress
    )  # fmt: skip


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def measure(every: int, seed: int) -> dict[str, Any]:
    """Return how many rounds were trained and how often the machine failed, until all rounds were there; and the weights."""
    chance = np.random.default_rng(seed)
    trained, deaths, fails_at = 0, 0, chance.exponential(BETWEEN_FAILURES)

    def watch(done: int, _: int) -> None:
        nonlocal trained, deaths, fails_at
        trained += 1
        if trained >= fails_at:
            deaths, fails_at = deaths + 1, trained + chance.exponential(BETWEEN_FAILURES)
            raise FailedError

    with tempfile.TemporaryDirectory() as folder:
        while True:
            try:
                run = fit(Checkpoints(folder, every), watch)
            except FailedError:
                continue
            return {"trained": trained, "failures": deaths, "weights": weights(run)}


def seconds() -> tuple[float, float]:
    """Return what a round and a save take: medians of a run that saves after every tenth round."""
    with tempfile.TemporaryDirectory() as folder:
        run = fit(Checkpoints(folder, 10))
    spans = run.timeline.assign(seconds=run.timeline["end"] - run.timeline["start"])
    busy = spans.loc[spans["activity"] == "computing", "seconds"].sum()
    return float(busy / ROUNDS), float(spans.loc[spans["activity"] == "saving", "seconds"].median())


def everything(intervals: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the whole study."""
    undisturbed, rows = weights(fit()), []
    per_round, per_save = seconds()
    for every in track(intervals, "Runs that fail"):
        runs = [measure(every, seed) for seed in seeds]
        assert all(torch.equal(run.pop("weights"), undisturbed) for run in runs), "a run came out differently"
        rows.append({"every": every, "saves": -(-ROUNDS // every) + 1, "runs": runs})
    return {
        "command": f"python benchmarks/{Path(__file__).name}", "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "rounds": ROUNDS, "between_failures": BETWEEN_FAILURES, "seeds": list(seeds),
        "seconds_a_round": per_round, "seconds_a_save": per_save, "rows": rows,
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: the interval that cost least in rounds, saving included, and the formulas' intervals."""
    save = found["seconds_a_save"] / found["seconds_a_round"]
    cost = {
        row["every"]: np.mean([run["trained"] for run in row["runs"]]) + save * row["saves"] for row in found["rows"]
    }
    return {
        "a save in rounds": round(save, 2), "best measured": min(cost, key=lambda every: cost[every]),
        "young": round(failures.young_interval(save, found["between_failures"]), 1),
        "daly": round(failures.daly_interval(save, found["between_failures"]), 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two intervals, one seed; stores nothing")
    given = parser.parse_args()
    found = everything((20, 120), (0,)) if given.quick else everything(INTERVALS, SEEDS)
    if not given.quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
