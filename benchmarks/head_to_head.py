"""DML against FL in accuracy, stop by stop: the study behind lesson 15.

    python benchmarks/head_to_head.py            everything; goes on where it was interrupted, and says how long it will take
    python benchmarks/head_to_head.py --fast     every stop with a tenth of the rounds, five seeds, no tuning: two minutes; stores nothing
    python benchmarks/head_to_head.py --tasks images text    some of the data sets; the others stay as they are stored

The stops are those of `course_lib.study.dial.stops`, the data sets those of `course_lib.study.dial.tasks`, the seconds those of
`course_lib.study.dial.clock`. All of MNIST (once, for the central stops and FedAvg) is read from COURSE_DATA_DIR or downloaded.

A seed draws who holds what, the first weights, the batches, the cohorts, the noise and the attackers; the test data stays. Each stop has a
learning rate of its own, by `study.tune`: the worst of three tuning seeds on data held out from training. Five kinds of stops take the rate
of another: masks change no sum; nobody tunes under attack; and FedAdam and user-level privacy have a setting of their own to tune. The test
data is touched once.

Equal gradients are the runs themselves. Equal bytes (through a participant's link) and equal simulated time on three networks are the least
that any stop that talks needs for its whole run: a stop that has got half of its rounds done by then is read off its own curve; one that has
not is tuned anew for so short a run.

All goes to course_lib/classroom/studies/dial.json, one row a line. The last line is JSON: mean score with half its 95% interval, in percent.
"""

import argparse
import json
import math
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib import learning, rounds, study
from course_lib.study.dial import BUDGETS, STOPS, TASKS, Job, Stop, measure
from course_lib.study.dial.clock import PROFILES
from course_lib.study.dial.runs import plan_of
from course_lib.study.dial.tasks import PARTICIPANTS

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/dial.json"
DONE = Path(tempfile.gettempdir()) / "head_to_head.jsonl"  # the runs of a study that was interrupted
TUNING_SEEDS = (100, 101, 102)
SEEDS = {"images": tuple(range(5)), "tabular": tuple(range(5)), "text": tuple(range(5)), "mnist": tuple(range(5)), "deep": tuple(range(5))}
FEW = {
    "mnist": ("one_machine", "ddp", "local_sgd", "fedavg_iid"),
    "deep": ("ddp", "fedavg_iid", "fedavg_1"),
}  # fmt: skip
CROWDED = ("images",)  # the data sets on which ten times the clients are tried as well
_COST = {name: at for at, name in enumerate(BUDGETS, start=2)}  # where a curve has it


def stops_of(task: str) -> dict[str, Stop]:
    """Return the stops that are measured on a task: all, or the central ones."""
    return {
        key: STOPS[key] for key in FEW.get(task, STOPS) if task in CROWDED or STOPS[key].participants == PARTICIPANTS
    }


def noted(job: Job) -> tuple[dict[str, Any], float]:
    """Return what a run came to, and the seconds of processor time that it took."""
    started = time.process_time()
    return measure(job), round(time.process_time() - started, 2)


class Bench:
    """Measures jobs, some at a time, and notes each result at once: what is noted is not measured again."""

    def __init__(self, pool: Pool, notes: Path | None) -> None:
        lines = notes.read_text(encoding="utf-8").splitlines() if notes and notes.exists() else []
        self.pool, self.notes = pool, notes
        self.known: dict[str, tuple[dict[str, Any], float]] = {
            json.dumps(job): (found, took) for job, found, took in map(json.loads, lines)
        }

    def measured(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """Return the results of all jobs, in their order."""
        new = [job for job in dict.fromkeys(jobs) if _key(job) not in self.known]
        for job, found in zip(new, self.pool.imap(noted, new), strict=True):
            self.known[_key(job)] = found
            if self.notes:
                with self.notes.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([astuple(job), *found]) + "\n")
        return [self.known[_key(job)][0] for job in jobs]

    def took(self, jobs: Sequence[Job]) -> float:
        """Return the mean of the processor seconds that these jobs took."""
        return round(float(np.mean([self.known[_key(job)][1] for job in jobs])), 2)


def _key(job: Job) -> str:
    return json.dumps(astuple(job))


class Tuner:
    """Finds the settings of a task's stops, and keeps what was tried."""

    def __init__(self, bench: Bench, task: str) -> None:
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
            return [found["score"] for found in self.bench.measured(jobs)]

        found = study.tune(score, stop.knobs or stop.rates, TUNING_SEEDS, widen=4)
        self.tried.append({
            "data": self.task, "stop": stop.key, "budget": budget, "of": "knob" if rate else "rate", "best": found.best,
            "at_edge": found.at_edge, "tried": [{"value": value, "score": list(own)} for value, own in found.tried.items()],
        })  # fmt: skip
        return (rate, found.best) if rate else (found.best, None)


def row(bench: Bench, tuner: Tuner, task: str, stop: Stop) -> dict[str, Any]:
    """Return a stop's row, with the curves of its runs still in it."""
    rate, knob = tuner.settings(stop)
    jobs = [Job(task, stop.key, rate, knob, seed) for seed in SEEDS[task]]
    runs = [dict(run) for run in bench.measured(jobs)]
    made = {
        "data": task, "stop": stop.key, "title": stop.title, "family": stop.family, "skew": stop.skew, "participants": stop.participants,
        "turned": stop.turned, "versus": stop.versus, "saw": stop.saw, "rate": rate, "knob": knob, "seeds": list(SEEDS[task]),
        "rounds": plan_of(jobs[0]).rounds, "took": bench.took(jobs), "runs": runs,
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


def at_budgets(bench: Bench, tuner: Tuner, row: dict[str, Any], limit: Mapping[str, float]) -> None:
    """Put into each run of a row what it had come to at each budget, and take its curve out; note which rate each budget has."""
    stop, task = STOPS[row["stop"]], row["data"]
    at_rate: dict[str, float | None] = {}
    for run in row["runs"]:
        run["at"] = {}
    whole = [run for run in row["runs"] if not run["broken"]]
    for name, column in _COST.items():
        done = [affordable(run["curve"], column, limit[name]) for run in whole]
        most = int(np.median(done)) if done else 0
        rate, knob = row["rate"], row["knob"]
        if most < row["rounds"] / 2 and stop.key not in ("attacked", "defended"):
            rate, knob = tuner.settings(stop, name, most) if most else (rate, knob)
            jobs = [Job(task, stop.key, rate, knob, seed, most=most) for seed in row["seeds"]]
            found = [each["score"] for each in bench.measured(jobs)]
        elif all(look[1] is not None for run in whole for look in run["curve"]):
            found = [_read(run, column, limit[name]) for run in row["runs"]]
        else:
            afford = iter(done)
            rounds_of = [row["rounds"] if run["broken"] else next(afford) for run in row["runs"]]
            jobs = [
                Job(task, stop.key, rate, knob, seed, most=None if own >= row["rounds"] else own)
                for seed, own in zip(row["seeds"], rounds_of, strict=True)
            ]
            found = [each["score"] for each in bench.measured(jobs)]
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


def one_task(
    bench: Bench, task: str, budgets: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]:
    """Return the rows, what was tried in tuning, and the budgets of a task."""
    tuner = Tuner(bench, task)
    rows = [row(bench, tuner, task, stop) for stop in stops_of(task).values()]
    limit = limits(rows)
    for each in rows:
        at_budgets(bench, tuner, each, limit)
    return rows, tuner.tried, limit


def everything(bench: Bench, tasks: Sequence[str]) -> dict[str, Any]:
    """Run the study of these tasks, and store it, task by task, beside what is stored of the others."""
    found = {
        "rows": [],
        "tuning": [],
        "budgets": {},
        **(json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}),
    }
    for task in tasks:
        rows, tried, limit = one_task(bench, task)
        for name, new in (("rows", rows), ("tuning", tried)):
            kept = [each for each in found[name] if each["data"] != task]
            found[name] = sorted(kept + new, key=lambda each: list(TASKS).index(each["data"]))
        found["budgets"][task] = limit
        STORED.write_text(written({**heading(), **found, **heading()}), encoding="utf-8")
    return found


def heading() -> dict[str, Any]:
    """Return what the study was made by and with."""
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "machine": f"{platform.machine()}, {_processor()}, one thread a run",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "tuning_seeds": list(TUNING_SEEDS),
        "tasks": {
            key: {"title": task.title, "model": task.model.name, "passes": task.passes, "score": task.score, "dealt_by": task.dealt_by,
                  "multiplications": task.multiplications}
            for key, task in TASKS.items()
        },
        "profiles": {name: {"title": own.title, "latency": own.latency, **_link(asdict(own.device))} for name, own in PROFILES.items()},
    }  # fmt: skip


def _link(device: dict[str, Any]) -> dict[str, float]:
    return {name: device[name] for name in ("speed", "uplink", "downlink")}


def _processor() -> str:
    """Return the processor's own name, where the system tells."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or "unknown processor"


def written(found: Mapping[str, Any]) -> str:
    """Return the study as JSON, with a line for each row."""
    head = {name: value for name, value in found.items() if name not in ("tuning", "rows")}
    listed = {name: "[\n" + ",\n".join(json.dumps(each) for each in found[name]) + "\n]" for name in ("tuning", "rows")}
    return json.dumps(head)[:-1] + "".join(f',\n"{name}": {text}' for name, text in listed.items()) + "}\n"


def line(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last line: mean score and half its 95% interval in percent, for each data set and stop, over the runs that did not break."""
    table: dict[str, dict[str, Any]] = {}
    for each in rows:
        sound = [100 * run["score"] for run in each["runs"] if not run["broken"]]
        said = learning.interval(sound, within=(0, 100)) if len(sound) > 1 else None
        table.setdefault(each["data"], {})[each["stop"]] = said and [round(said.mean, 1), round(said.half_width, 1)]
    return table


def fast(bench: Bench) -> list[dict[str, Any]]:
    """Return rows of the same shape from a tenth of the rounds, at the stored settings, with five seeds."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    rows = []
    for kept in (each for each in stored["rows"] if each["data"] in ("images", "tabular", "text")):
        most = max(1, kept["rounds"] // 10)
        jobs = [Job(kept["data"], kept["stop"], kept["rate"], kept["knob"], seed, most=most) for seed in range(5)]
        rows.append(
            {**kept, "rounds": most, "seeds": list(range(5)), "runs": [dict(run) for run in bench.measured(jobs)]}
        )
    return rows


def estimate(tasks: Sequence[str], workers: int, *, quick: bool) -> str:
    """Return in words how long it will take, from the stored study's own seconds a run."""
    if not STORED.exists():
        return "No earlier run is stored, so there is no estimate yet."
    rows = [each for each in json.loads(STORED.read_text(encoding="utf-8"))["rows"] if each["data"] in tasks]
    runs = 5 * 0.1 if quick else 1.0
    # Beside the reported runs: some twelve to tune by, and the budgets' short ones, about as much again as the reported ones.
    total = sum(each["took"] * (runs if quick else 12 + 2 * len(each["seeds"])) for each in rows) / workers
    return f"About {max(1, round(total / 60))} min on {workers} processes, if the machine is as fast as the one that made the stored study."


@contextmanager
def bench(workers: int, notes: Path | None) -> Iterator[Bench]:
    """A bench with its own worker processes."""
    with get_context("spawn").Pool(workers) as pool:
        yield Bench(pool, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--fast", action="store_true", help="a tenth of the rounds, five seeds, no tuning; stores nothing"
    )
    parser.add_argument(
        "--tasks", nargs="*", default=list(TASKS), choices=list(TASKS), help="which data sets; all when left out"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args()
    tasks = [task for task in given.tasks if task in SEEDS]
    print(estimate(("images", "tabular", "text") if given.fast else tasks, given.workers, quick=given.fast), flush=True)
    with bench(given.workers, None if given.fast else DONE) as own:
        rows = fast(own) if given.fast else everything(own, tasks)["rows"]
    print(json.dumps(line(rows)))


if __name__ == "__main__":
    main()
