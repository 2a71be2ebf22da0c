"""What small_models.py and three_ways.py share: each contender at the rate that tuning found for it, paired by seed in the end."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from course_lib import learning, rounds, study
from course_lib.classroom.progress import track

TUNING_SEEDS = (100, 101, 102)
# Called with a rate and a seed; returns an accuracy from 0 to 1, NaN for a run that broke.
Measure = Callable[[float, int], float]


def accuracy(fit: Callable[[], rounds.Run]) -> float:
    """Return the accuracy at the end of a run, or NaN for a run that broke."""
    try:
        run = fit()
    except rounds.DivergedError:
        return float("nan")
    broke = not torch.isfinite(torch.nn.utils.parameters_to_vector(run.model.parameters())).all()
    return float("nan") if broke else run.accuracy


def tuned_and_run(
    name: str, validated: Measure, tested: Measure, grid: Sequence[float], seeds: Sequence[int], widen: int
) -> dict[str, Any]:
    """Return how the rate of one contender was chosen on the validation split, and its test accuracies with it."""

    def judged(jobs: Sequence[tuple[float, int]]) -> list[float]:
        return [validated(rate, seed) for rate, seed in track(jobs, f"Tuning: {name}")]

    found = study.tune(judged, grid, TUNING_SEEDS, widen=widen)
    reported = [tested(found.best, seed) for seed in track(seeds, f"Runs: {name}")]
    return {
        "rate": found.best, "at_edge": found.at_edge,
        "tried": [{"rate": rate, "accuracy": list(scores)} for rate, scores in found.tried.items()],
        "accuracy": [round(value, 4) for value in reported],
    }  # fmt: skip


def line(rows: Sequence[dict[str, Any]], label: str, reference: dict[str, Any], lead: str) -> dict[str, Any]:
    """Return the last line: by `label` the rate, the accuracy in percent, and as `lead` the points ahead of the reference row."""
    table, others = {}, [100 * value for value in reference["accuracy"]]
    for row in rows:
        own = [100 * value for value in row["accuracy"]]
        mean, ahead = learning.interval(own), learning.paired_difference(own, others)
        table[row[label]] = {
            "rate": row["rate"],
            "accuracy (%)": [round(mean.mean, 2), round(mean.half_width, 2)],
            lead: [round(ahead.mean, 2), round(ahead.half_width, 2)],
        }
    return table
