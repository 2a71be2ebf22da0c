"""One row of the head-to-head study: its settings are tuned, its runs are made, and each budget is read off or run anew."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bench import Bench

from course_lib import study
from course_lib.study.dial import BUDGETS, STOPS, Job, Stop, measure
from course_lib.study.dial.runs import plan_of
from course_lib.study.dial.tasks import PARTICIPANTS

TUNING_SEEDS = (100, 101, 102)
SEEDS = {
    task: tuple(range(count))
    for task, count in {"images": 12, "tabular": 10, "text": 8, "mnist": 8, "deep": 12}.items()
}
FEW = {
    "mnist": ("one_machine", "ddp", "local_sgd", "fedavg_iid"),
    "deep": ("ddp", "fedavg_iid", "fedavg_1"),
}  # fmt: skip
CROWDED = ("images",)  # the data sets on which ten times the clients are tried as well
Noted = list[Any]  # what `measure` returns, and the seconds of processor time that it took
_COST = {name: at for at, name in enumerate(BUDGETS, start=2)}  # where a curve has it


def stops_of(task: str) -> dict[str, Stop]:
    """Return the stops that are measured on a task: all, or the central ones."""
    return {
        key: STOPS[key] for key in FEW.get(task, STOPS) if task in CROWDED or STOPS[key].participants == PARTICIPANTS
    }


def noted(job: Job) -> Noted:
    """Return what a run came to, and the seconds of processor time that it took."""
    started = time.process_time()
    return [measure(job), round(time.process_time() - started, 2)]


def scores(bench: Bench[Job, Noted], jobs: Sequence[Job], label: str) -> list[dict[str, Any]]:
    """Return what each job came to, without the seconds that it took."""
    return [found for found, _ in bench.measured(jobs, label)]


class Tuner:
    """Finds the settings of a task's stops, and keeps what was tried."""

    def __init__(self, bench: Bench[Job, Noted], task: str) -> None:
        self.bench, self.task = bench, task
        self.tried: list[dict[str, Any]] = []
        self._found: dict[tuple[str, str, int | None], tuple[float, float | None]] = {}

    def settings(self, stop: Stop, budget: str = "gradients", most: int | None = None) -> tuple[float, float | None]:
        """Return the rate and the knob of a stop, for a run of at most so many rounds."""
        at = (stop.key, budget, most)
        if at not in self._found:
            self._found[at] = self._search(stop, budget, most)
        return self._found[at]

    def _search(self, stop: Stop, budget: str, most: int | None) -> tuple[float, float | None]:
        if stop.rate_of and not stop.knobs:
            return self.settings(STOPS[stop.rate_of], budget, most)[0], None
        # A knob beside another stop's rate is tuned for the whole run: that is the rate that it goes with.
        rate = self.settings(STOPS[stop.rate_of])[0] if stop.rate_of else None

        def score(pairs: Sequence[tuple[float, int]]) -> list[float]:
            jobs = [
                Job(self.task, stop.key, rate or value, value if rate else None, seed, tuning=True, most=most)
                for value, seed in pairs
            ]
            return [found["score"] for found in scores(self.bench, jobs, f"Tuning {self.task}, {stop.title}")]

        found = study.tune(score, stop.knobs or stop.rates, TUNING_SEEDS, widen=4)
        self.tried.append({
            "data": self.task, "stop": stop.key, "budget": budget, "of": "knob" if rate else "rate", "best": found.best,
            "at_edge": found.at_edge, "tried": [{"value": value, "score": list(own)} for value, own in found.tried.items()],
        })  # fmt: skip
        return (rate, found.best) if rate else (found.best, None)


def row(bench: Bench[Job, Noted], tuner: Tuner, task: str, stop: Stop) -> dict[str, Any]:
    """Return a stop's row, with the curves of its runs still in it."""
    rate, knob = tuner.settings(stop)
    jobs = [Job(task, stop.key, rate, knob, seed) for seed in SEEDS[task]]
    found = bench.measured(jobs, f"{task}, {stop.title}")
    runs = [dict(run) for run, _ in found]
    made = {
        "data": task, "stop": stop.key, "title": stop.title, "family": stop.family, "skew": stop.skew, "participants": stop.participants,
        "turned": stop.turned, "versus": stop.versus, "saw": stop.saw, "rate": rate, "knob": knob, "seeds": list(SEEDS[task]),
        "rounds": plan_of(jobs[0]).rounds, "took": round(float(np.mean([took for _, took in found])), 2), "runs": runs,
    }  # fmt: skip
    scores = [run["score"] for run in runs]
    print(f"{task}, {stop.title}: rate {rate:g}, {100 * np.nanmean(scores):.1f}% ({made['took']} s a run)", flush=True)
    return made


def limits(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return, for each budget, the least that a stop that talks spends on its whole run."""
    talking = [row for row in rows if row["stop"] != "one_machine"]
    return {
        name: min(float(np.mean([run["curve"][-1][at] for run in row["runs"] if not run["broken"]] or [math.inf])) for row in talking)
        for name, at in _COST.items()
    }  # fmt: skip


def affordable(curve: Sequence[Sequence[float]], at: int, limit: float) -> int:
    """Return how many rounds a run had done when it had spent `limit` (column `at` of its curve), between its looks in proportion."""
    ends, costs = [float(look[0]) for look in curve], [float(look[at]) for look in curve]
    slope = (costs[-1] - costs[0]) / (ends[-1] - ends[0]) if len(curve) > 1 else costs[0] / ends[0]
    ends, costs = [0.0, *ends], [max(0.0, costs[0] - slope * ends[0]), *costs]
    if limit < costs[0]:
        return 0
    return int(np.interp(limit * (1 + 1e-9), costs, ends) + 1e-6)


def at_budgets(bench: Bench[Job, Noted], tuner: Tuner, row: dict[str, Any], limit: Mapping[str, float]) -> None:
    """Put into each run of a row what it had come to at each budget, and take its curve out; note which rate each budget has."""
    stop, task = STOPS[row["stop"]], row["data"]
    at_rate: dict[str, float | None] = {}
    label = f"{task}, {stop.title}: budgets"
    for run in row["runs"]:
        run["at"] = {}
    whole = [run for run in row["runs"] if not run["broken"]]
    for name, column in _COST.items():
        done = [affordable(run["curve"], column, limit[name]) for run in whole]
        most = int(np.median(done)) if done else 0
        rate, knob = row["rate"], row["knob"]
        if most < row["rounds"] / 2 and stop.family != "attacked":
            rate, knob = tuner.settings(stop, name, most) if most else (rate, knob)
            jobs = [Job(task, stop.key, rate, knob, seed, most=most) for seed in row["seeds"]]
            found = [each["score"] for each in scores(bench, jobs, label)]
        elif all(look[1] is not None for run in whole for look in run["curve"]):
            found = [_read(run, column, limit[name]) for run in row["runs"]]
        else:
            afford = iter(done)
            rounds_of = [row["rounds"] if run["broken"] else next(afford) for run in row["runs"]]
            jobs = [
                Job(task, stop.key, rate, knob, seed, most=None if own >= row["rounds"] else own)
                for seed, own in zip(row["seeds"], rounds_of, strict=True)
            ]
            found = [each["score"] for each in scores(bench, jobs, label)]
        at_rate[name] = rate if knob is None else knob
        for run, score in zip(row["runs"], found, strict=True):
            run["at"][name] = score
    row["at_rate"] = at_rate
    for run in row["runs"]:
        run.pop("curve", None)


def _read(run: Mapping[str, Any], column: int, limit: float) -> float:
    """Return the score at the last look within the limit."""
    if run["broken"]:
        return float("nan")
    return float([look[1] for look in run["curve"] if look[column] <= limit * (1 + 1e-9)][-1])
