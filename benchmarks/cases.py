"""Eight uses that introductions name, each trained both ways: the study behind lesson 17.

    python benchmarks/cases.py           everything; goes on where it was interrupted; about half an hour of processor time
    python benchmarks/cases.py --quick   one case, one rate, two seeds: a check that it runs; stores nothing

The cases, their data and the ways are those of `course_lib.study.cases` and `course_lib.study.ways`; heart disease is left out where its files cannot be had.
Each way has its own learning rate in each case, by `study.tune`: the worst of three tuning seeds, on records that no result is measured on.
A seed draws the records (or, of real ones, which are the test), the first weights and the batches.

All goes to course_lib/classroom/studies/cases.json. Of each run: score (the case's metric, mean over owners), worst (the worst owner's),
accuracy and macro_f1 (over all tests), all in percent; and membership, the AUC of telling training records by their loss. A run that broke has
None for all. Of each case, what a thief gets: counted, not estimated. The last line is JSON: mean score and half its 95% interval.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench

from course_lib import learning, rounds, study
from course_lib.data import NaturalClients
from course_lib.data.download import DownloadError
from course_lib.study.cases import AS_FL, CASES, Case, Way, deal
from course_lib.study.ways import RATE, TUNED_PASSES, judge, train

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/cases.json"
DONE = Path(tempfile.gettempdir()) / "cases.jsonl"  # the runs of a study that was interrupted
GRID, WIDEN, TUNING_SEEDS, SEEDS = (0.04, 0.1, 0.25), 3, (100, 101, 102), tuple(range(10))
SHARES = ("score", "worst", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Job:
    """One run."""

    case: str
    way: Way
    rate: float
    seed: int
    tuning: bool = False


@lru_cache(maxsize=4)
def dealt(case: str, seed: int, tuning: bool) -> NaturalClients:
    return deal(CASES[case], seed, tuning)


def measure(job: Job) -> dict[str, Any]:
    """Return what one run came to."""
    torch.set_num_threads(1)
    case, found = CASES[job.case], dealt(job.case, job.seed, job.tuning)
    started = time.perf_counter()
    try:
        trained = train(case, job.way, job.rate, job.seed, found, job.tuning)
        judged = judge(case, trained, found)
    except rounds.DivergedError:
        return dict.fromkeys((*SHARES, "membership"))
    return {
        **{name: round(100 * judged[name], 2) for name in SHARES}, "membership": round(judged["membership"], 4),
        "bytes_owner": round(trained.bytes_owner), "bytes_inside": round(trained.bytes_inside),
        "bytes_across": round(trained.bytes_across), "rounds": trained.rounds,
        "epsilon": trained.epsilon and round(trained.epsilon, 3), "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip


def tuned(bench: Bench[Job, dict[str, Any]], case: Case, way: Way) -> study.Tuned:
    """Return a way's rate in a case: the best score for the worst of the tuning seeds."""

    def score(pairs: Sequence[tuple[float, int]]) -> list[float]:
        jobs = [Job(case.name, way, rate, seed, tuning=True) for rate, seed in pairs]
        found = bench.measured(jobs, f"Tuning {case.name}, {way}")
        return [nan if one["score"] is None else one["score"] for one in found]

    return study.tune(score, GRID, TUNING_SEEDS, widen=WIDEN)


def row(bench: Bench[Job, dict[str, Any]], case: Case, way: Way) -> dict[str, Any]:
    """Return one way in one case."""
    chosen = tuned(bench, case, "FL" if way in AS_FL else way)
    runs = bench.measured([Job(case.name, way, chosen.best, seed) for seed in SEEDS], f"{case.name}, {way}")
    print(case.name, way, chosen.best, [run["score"] for run in runs], flush=True)
    tried = [{"rate": rate, "score": list(scores)} for rate, scores in chosen.tried.items()]
    return {
        "case": case.name, "way": way, "rate": chosen.best, "at_edge": chosen.at_edge, "tried": tried, "seeds": list(SEEDS), "runs": runs,
    }  # fmt: skip


def about(case: Case) -> dict[str, Any]:
    """Return a case in numbers, and what a thief gets out of each place, counted on seed 0."""
    found = dealt(case.name, 0, False)
    sizes = [len(own) for own in found.clients]
    weights = sum(
        parameter.numel() for parameter in case.model.build(found.train.shape, len(found.train.classes)).parameters()
    )
    return {
        "case": case.name, "data": case.data, "metric": case.metric, "real": case.real, "owner": case.owner, "records": case.records,
        "fields": case.fields, "owners": len(found), "train": len(found.train), "test": len(found.test), "sizes": sizes, "skew": round(_skew(found), 3),
        "model": case.model.name, "weights": weights, "passes": case.passes,
        "breach": {
            # Everybody's records; the records of the owner that has most; of a server of FL no record, but all that came.
            "central store": {"records": len(found.train), "owners": len(found), "numbers": len(found.train) * case.fields},
            "largest owner": {"records": max(sizes), "owners": 1, "numbers": max(sizes) * case.fields},
            "server of FL": {"records": 0, "owners": 0, "numbers": 0, "models": 1, "updates": len(found)},
            "server of FL, secure aggregation": {"records": 0, "owners": 0, "numbers": 0, "models": 1, "updates": 0},
        },
    }  # fmt: skip


def _skew(found: NaturalClients) -> float:
    """Return how far an owner's shares of the classes are from everybody's: half the sum of the differences, mean over owners (0 to 1)."""
    classes = len(found.train.classes)
    shares = [torch.bincount(found.train.y[own], minlength=classes) / len(own) for own in found.clients]
    whole = torch.bincount(found.train.y, minlength=classes) / len(found.train)
    return float(np.mean([(own - whole).abs().sum().item() / 2 for own in shares]))


def available(case: Case) -> bool:
    try:
        dealt(case.name, 0, False)
    except DownloadError as error:
        print(f"{case.name} is left out: {str(error).splitlines()[0]}")
        return False
    return True


def everything(bench: Bench[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the whole study."""
    cases = [case for case in CASES.values() if available(case)]
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__}, "machine": f"{platform.machine()}, one thread",
        "seeds": list(SEEDS), "tuning_seeds": list(TUNING_SEEDS), "grid": list(GRID), "sample_rate": RATE, "tuned_passes": TUNED_PASSES,
        "cases": [about(case) for case in cases],
        "rows": [row(bench, case, way) for case in cases for way in case.ways],
    }  # fmt: skip


def in_lines(found: dict[str, Any]) -> str:
    """Return the study as JSON with one case or row a line."""
    parts = [
        f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items() if name not in ("cases", "rows")
    ]
    for name in ("cases", "rows"):
        parts.append(f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, found[name])) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def line(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the last line: mean score with half the 95% interval over the seeds that did not break, in percent."""
    table: dict[str, dict[str, Any]] = {}
    for one in rows:
        sound = [run["score"] for run in one["runs"] if run["score"] is not None]
        own = learning.interval(sound) if len(sound) > 1 else None
        table.setdefault(one["case"], {})[one["way"]] = own and [round(own.mean, 1), round(own.half_width, 1)]
    return {"score (%)": table, "at the grid's edge": sum(one.get("at_edge", False) for one in rows)}


def quick(bench: Bench[Job, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one rate and two seeds of one case."""
    return [
        {"case": name, "way": way,
         "runs": bench.measured([Job(name, way, 0.1, seed) for seed in (0, 1)], f"{name}, {way}")}
        for name in ("diagnosis",) for way in CASES[name].ways
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case, one rate, two seeds; stores nothing")
    given = parser.parse_args()
    bench = Bench(measure, None if given.quick else DONE)
    if given.quick:
        rows = quick(bench)
    else:
        found = everything(bench)
        rows = found["rows"]
        STORED.write_text(in_lines(found), encoding="utf-8")
    bench.forget()
    print(json.dumps(line(rows)))


if __name__ == "__main__":
    main()
