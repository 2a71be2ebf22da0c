"""Does it cost accuracy that the server sees sums alone? Plain against masked rounds, seed by seed: the study behind lesson 13.

    python benchmarks/masked_rounds.py            everything: about five minutes on two quiet cores
    python benchmarks/masked_rounds.py --quick    three contenders, two seeds: a check that it runs; stores nothing

4,000 images of mnist5k on 60 clients, by Dirichlet's draw with alpha 0.5; 12 are asked in each of 20 rounds, and take one pass in
batches of 10. A seed draws the deal, who is asked and who is lost, the first weights and the batches, the same for all contenders.
Secure aggregation does not change what is learned, so all have one rate, by `study.tune` for "plain": the worst of three tuning seeds,
judged on 800 images held out of the training images; the tuning runs train on the other 3,200.

All goes to course_lib/classroom/studies/masked_rounds.json. Of each run: accuracy in percent; rounds without a sum; the largest
share of values that were cut off in a round; and MB sent up. The last line is JSON: mean accuracy and half its 95% interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import Bench, command, images, indented

from course_lib import data, learning, models, plans, rounds, study
from course_lib.federated.participation import Devices
from course_lib.privacy.in_plans import SecureAggregation

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/masked_rounds.json"
UNFINISHED = STORED.with_suffix(".unfinished")
CLIENTS, ALPHA = 60, 0.5
GRID, TUNING_SEEDS, SEEDS = (0.1, 0.2, 0.4), (100, 101, 102), tuple(range(20))
MODEL = models.mlp((32,))
PLAIN = plans.fedavg(rounds=20, participation=0.2, epochs=1, batch_size=10)
MASKED = PLAIN.but(secure_aggregation=SecureAggregation(bound=1.0, insecure_seed=0))
TENTH, THIRD = Devices(dropout=0.1), Devices(dropout=0.3)


def masked(bound: float = 1.0, threshold: float = 2 / 3) -> SecureAggregation:
    """Return secure aggregation with keys that repeat, as a study needs them."""
    return SecureAggregation(bound, threshold, insecure_seed=0)


CONTENDERS = {
    "plain": PLAIN,
    "masked": MASKED,
    "plain, 10% lost": PLAIN.but(fleet=TENTH),
    "masked, 10% lost": MASKED.but(fleet=TENTH),
    "plain, 30% lost": PLAIN.but(fleet=THIRD),
    "masked, 30% lost": MASKED.but(fleet=THIRD),
    "masked, 30% lost, threshold 7": PLAIN.but(fleet=THIRD, secure_aggregation=masked(threshold=0.51)),
    "masked, bound 0.03": PLAIN.but(secure_aggregation=masked(bound=0.03)),
    "masked, bound 0.003": PLAIN.but(secure_aggregation=masked(bound=0.003)),
}


@dataclass(frozen=True)
class Job:
    """One run. `tuning`: trained on 3,200 images and judged on the other 800."""

    name: str
    rate: float
    seed: int
    tuning: bool = False


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    train, test = images("mnist5k", job.tuning)
    parts = data.partitions.dirichlet(train.y, CLIENTS, ALPHA, job.seed)
    plan = CONTENDERS[job.name].but(learning_rate=job.rate)
    run = rounds.fit(MODEL, train, parts, plan, test=test, seed=job.seed, evaluate_every=plan.rounds)
    return {
        "accuracy": round(100 * run.accuracy, 1),
        "skipped": int(run.history["skipped"].sum()),
        "clipped": float(run.history["clipped"].max()) if "clipped" in run.history else 0.0,
        "megabytes_up": round(float(run.history["bytes_up"].iloc[-1]) / 1e6, 3),
    }


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""

    def score(tried: Sequence[tuple[float, int]]) -> list[float]:
        jobs = [Job("plain", rate, seed, tuning=True) for rate, seed in tried]
        return [found["accuracy"] for found in bench.measured(jobs, "Tuning")]

    tuned = study.tune(score, GRID, TUNING_SEEDS)
    rows = []
    for name in CONTENDERS:
        runs = bench.measured([Job(name, tuned.best, seed) for seed in SEEDS], name)
        rows.append({"name": name, "runs": runs})
        print(name, [run["accuracy"] for run in runs], flush=True)
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {name: version(name) for name in ("torch", "numpy", "cryptography")},
        "tuning_seeds": list(TUNING_SEEDS), "seeds": list(SEEDS), "rate": tuned.best, "at_edge": tuned.at_edge,
        "tried": [{"rate": rate, "accuracy": list(scores)} for rate, scores in tuned.tried.items()],
        "rows": rows,
    }  # fmt: skip


def quick(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return two seeds of three contenders."""
    names = ["plain", "masked", "masked, 30% lost"]
    return {"rows": [{"name": k, "runs": bench.measured([Job(k, 0.2, seed) for seed in (0, 1)], k)} for k in names]}


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line: mean accuracy with half the 95% interval over seeds, in percent."""
    table = {}
    for row in found["rows"]:
        own = learning.interval([run["accuracy"] for run in row["runs"]])
        table[row["name"]] = [round(own.mean, 1), round(own.half_width, 1)]
    return {"accuracy (%)": table}


if __name__ == "__main__":
    command(__doc__, "three contenders, two seeds", everything, quick, measure, line, STORED, UNFINISHED, indented)
