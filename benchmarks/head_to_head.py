"""DML against FL in accuracy, stop by stop: the study behind lesson 15.

    python benchmarks/head_to_head.py            everything; goes on where it was interrupted, and says how long it will take
    python benchmarks/head_to_head.py --fast     every stop with a tenth of the rounds, five seeds, no tuning: two minutes; stores nothing
    python benchmarks/head_to_head.py --tasks images text    some of the data sets; the others stay as they are stored

The stops are those of `course_lib.study.dial.stops`, the data sets those of `course_lib.study.dial.tasks`, the seconds those of
`course_lib.study.dial.clock`. All of MNIST (once, for the central stops and FedAvg) is read from COURSE_DATA_DIR or downloaded.

A seed draws who holds what, the first weights, the batches, the cohorts, the noise and the attackers; the test data stays. Each stop has a
learning rate of its own, by `study.tune`: the worst of three tuning seeds on data held out from training. Some stops take the rate of
another: masks change no sum; nobody tunes under attack, so multi-Krum is tuned in peace, with or without attackers afterwards; and FedAdam and
user-level privacy have a setting of their own to tune. The test data is touched once.

Equal gradients are the runs themselves. Equal bytes (through a participant's link) and equal simulated time on three networks are the least
that any stop that talks needs for its whole run: a stop that has got half of its rounds done by then is read off its own curve; one that has
not is tuned anew for so short a run.

All goes to course_lib/classroom/studies/dial.json, one row a line. The last line is JSON: mean score with half its 95% interval, in percent.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import Bench
from dial_rows import TUNING_SEEDS, Noted, Tuner, at_budgets, limits, noted, row, scores, stops_of

from course_lib import learning, rounds
from course_lib.study.dial import TASKS, Job
from course_lib.study.dial.clock import PROFILES

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/dial.json"
DONE = Path(tempfile.gettempdir()) / "head_to_head.jsonl"  # the runs of a study that was interrupted
FAST = ("images", "tabular", "text")


def one_task(
    bench: Bench[Job, Noted], task: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]:  # fmt: skip
    """Return the rows, what was tried in tuning, and the budgets of a task."""
    tuner = Tuner(bench, task)
    rows = [row(bench, tuner, task, stop) for stop in stops_of(task).values()]
    limit = limits(rows)
    for each in rows:
        at_budgets(bench, tuner, each, limit)
    return rows, tuner.tried, limit


def everything(bench: Bench[Job, Noted], tasks: Sequence[str]) -> dict[str, Any]:
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


def fast(bench: Bench[Job, Noted]) -> list[dict[str, Any]]:
    """Return rows of the same shape from a tenth of the rounds, at the stored settings, with five seeds."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    rows = []
    for kept in (each for each in stored["rows"] if each["data"] in FAST):
        most = max(1, kept["rounds"] // 10)
        jobs = [Job(kept["data"], kept["stop"], kept["rate"], kept["knob"], seed, most=most) for seed in range(5)]
        runs = scores(bench, jobs, f"{kept['data']}, {kept['title']}")
        rows.append({**kept, "rounds": most, "seeds": list(range(5)), "runs": [dict(run) for run in runs]})
    return rows


def estimate(tasks: Sequence[str], *, quick: bool) -> str:
    """Return in words how long it will take, from the stored study's own seconds a run."""
    if not STORED.exists():
        return "No earlier run is stored, so there is no estimate yet."
    rows = [each for each in json.loads(STORED.read_text(encoding="utf-8"))["rows"] if each["data"] in tasks]
    # Five short runs; or the reported ones, about a dozen to tune by, and for the budgets short ones that come to half as much again.
    runs = {each["stop"]: 5 * 0.15 if quick else 1.5 * (12 + len(each["seeds"])) for each in rows}
    minutes = sum(each["took"] * runs[each["stop"]] for each in rows) / 60
    return (
        f"About {max(1, round(minutes))} minutes of processor time, on two processes half of that, where the machine is as fast as the one "
        "that made the stored study; what was done before an interruption is not done again."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--fast", action="store_true", help="a tenth of the rounds, five seeds, no tuning; stores nothing"
    )
    parser.add_argument(
        "--tasks", nargs="*", default=list(TASKS), choices=list(TASKS), help="which data sets; all when left out"
    )
    given = parser.parse_args()
    print(estimate(FAST if given.fast else given.tasks, quick=given.fast), flush=True)
    bench = Bench(noted, None if given.fast else DONE)
    rows = fast(bench) if given.fast else everything(bench, given.tasks)["rows"]
    if not given.fast and given.tasks == list(TASKS):
        bench.forget()
    print(json.dumps(line(rows)))


if __name__ == "__main__":
    main()
