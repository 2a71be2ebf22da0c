"""Three models, each at its own best learning rate: the study behind lesson 01's comparison of small and fast models.

    python benchmarks/small_models.py            everything, ten seeds: about three minutes on one core
    python benchmarks/small_models.py --quick    two rates, logistic regression alone; stores nothing

mnist5k on one machine, three passes in batches of 16. A seed draws the test images, the first weights and the order of the images.
Rates are chosen by `study.tune`: the worst of three tuning seeds, on a fifth of the training images of that seed's split, which is
then not trained on. The test images are used once, on other seeds.

All goes to course_lib/classroom/studies/small_models.json. The last line is JSON: for each model its rate, mean and half the 95%
interval of its accuracy in percent, and by how many points it is ahead of LeNet, paired by seed.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import best_rate
import torch
from best_rate import TUNING_SEEDS

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/small_models.json"
PASSES, BATCH = 3, 16
SEEDS = tuple(range(10))
GRID = (0.025, 0.05, 0.1, 0.2, 0.4)
MODELS = {"logistic": models.logistic(), "2NN": models.mlp(hidden=(200, 200)), "LeNet": models.lenet()}


def accuracy(model: str, rate: float, seed: int, train: Dataset, test: Dataset) -> float:
    """Return the accuracy at the end of a run, or NaN for a run that broke."""
    plan = plans.centralised(epochs=PASSES, batch_size=BATCH, learning_rate=rate)
    return best_rate.accuracy(
        lambda: rounds.fit(
            MODELS[model], train, [range(len(train))], plan, test=test, seed=seed, evaluate_every=PASSES
        )
    )  # fmt: skip


def contender(model: str, grid: Sequence[float], seeds: Sequence[int], widen: int) -> dict[str, Any]:
    """Return how the rate of one model was chosen, and its accuracies with it."""
    return {"model": model} | best_rate.tuned_and_run(
        model,
        lambda rate, seed: accuracy(
            model, rate, seed, *data.hold_out(data.load("mnist5k", seed=seed)[0], seed=seed)
        ),
        lambda rate, seed: accuracy(model, rate, seed, *data.load("mnist5k", seed=seed)),
        grid, seeds, widen,
    )  # fmt: skip


def measured(names: Sequence[str], grid: Sequence[float], seeds: Sequence[int], widen: int = 2) -> dict[str, Any]:
    """Return the whole study: each model, and the conditions."""
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "data": "mnist5k, 4000 training and 1000 test images, split by the seed",
        "budget": {"passes": PASSES, "batch_size": BATCH},
        "grid": list(grid), "seeds": list(seeds), "tuning_seeds": list(TUNING_SEEDS),
        "rows": [contender(name, grid, seeds, widen) for name in names],
    }  # fmt: skip


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: by model its rate, its accuracy in percent, and its lead over the last model in points."""
    rows = found["rows"]
    return best_rate.line(rows, "model", rows[-1], "ahead of the last (points)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rates, logistic regression alone; nothing is stored")
    quick = parser.parse_args().quick
    found = measured(["logistic"], GRID[2:4], SEEDS[:2], widen=0) if quick else measured(list(MODELS), GRID, SEEDS)
    if not quick:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
