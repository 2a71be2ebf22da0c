"""Plans x seeds, run by worker processes, each of which takes the next run when it is done with the last."""

import os
import platform
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

import course_lib
from course_lib import cluster
from course_lib.plans import Plan
from course_lib.rounds.run import Run
from course_lib.study import identity, results, storage
from course_lib.study.results import Study
from course_lib.study.watching import Sign, Watch, shown

Fit = Callable[[Plan, int], Run]


class StudyError(RuntimeError):
    """Some runs failed. `failures`: what happened, by (plan's name, seed); `study`: the runs that finished."""

    def __init__(self, message: str, failures: Mapping[tuple[str, int], str], study: Study) -> None:
        super().__init__(message)
        self.failures, self.study = failures, study


@dataclass(frozen=True)
class Job:
    """One run to do. `about`: what is stored with it: key, plan, seed, setting, versions and command."""

    plan: Plan
    seed: int
    about: Mapping[str, Any]

    @property
    def key(self) -> str:
        return self.about["key"]

    def file(self, folder: Path) -> Path:
        """Where the finished run is stored."""
        return folder / f"{self.key}.json"


def run(
    folder: str | Path, plans: Mapping[str, Plan], seeds: Iterable[int], fit: Fit, *, setting: Any = None,
    workers: int = 2, progress: Callable[[int, int], None] | None = None, timeout: float = 3600.0,
) -> Study:  # fmt: skip
    """Run every plan with every seed, and return the Study of all.

    `folder`: where each run is stored as it finishes; what is found there is not run again, so an interrupted study goes on.
    `plans`: by the names that the table shall use. `fit(plan, seed)`: returns the Run; it makes the partition from the seed
    and calls `rounds.fit(..., plan, seed=seed)` with one worker, since the study's workers share the cores already.
    `setting`: what else determines a run, as data, such as {"model": "lenet", "alpha": 0.1}: when it changes, runs are
    repeated. By default that is the code of `fit` with all values that it uses.
    `workers`: processes; with 1 all runs take place in this one. `progress`: called with (runs done, runs), instead of the
    bar with an estimate of the time left. `timeout`: seconds without the start or end of a run after which the study is stuck.

    Raises ValueError or TypeError for arguments that cannot work, before anything runs; RuntimeError where another process
    runs this study; and StudyError, when all others are done, for runs that failed.
    """
    seeds = _check(plans, seeds, fit, workers)
    folder = Path(folder)
    grid = _grid(plans, seeds, fit if setting is None else setting)
    jobs = {job.key: job for job in grid.values()}
    with storage.opened(folder):
        listed = [{"plan": name, "seed": seed, "key": job.key} for (name, seed), job in grid.items()]
        storage.write(folder / storage.INDEX, {"runs": listed})
        over = {job.key for job in jobs.values() if job.file(folder).exists()}
        with shown(progress, len(over), len(jobs)) as show:
            watch = Watch(len(jobs), over, show)
            code = identity.fingerprint(fit) if setting is None else None
            _work_off(folder, jobs, fit, code, workers, timeout, watch)
    study = results.load(folder)
    if watch.failures:
        raise _error({at: watch.failures[job.key] for at, job in grid.items() if job.key in watch.failures}, study)
    return study


def _check(plans: Any, seeds: Any, fit: Any, workers: Any) -> list[int]:
    if not isinstance(plans, Mapping) or not plans:
        raise TypeError(f"plans={plans!r} must be one or more plans by name, such as {{'FedAvg': plans.fedavg()}}")
    for name, plan in plans.items():
        if not isinstance(plan, Plan):
            raise TypeError(
                f"plans[{name!r}] is a {type(plan).__name__}: build a Plan with a function of course_lib.plans"
            )
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds={seeds!r} must be several whole numbers, such as range(5)")
    seeds = list(seeds)
    whole = all(hasattr(seed, "__index__") and not isinstance(seed, bool) for seed in seeds)
    if not whole or not seeds or len(set(map(index, seeds))) < len(seeds):
        raise ValueError(f"seeds={seeds} must be one or more different whole numbers, such as range(5)")
    if not callable(fit):
        raise TypeError(f"fit={fit!r} must be a function of (plan, seed) that returns the Run of rounds.fit")
    if type(workers) is not int or workers < 1:
        raise ValueError(f"workers={workers!r} must be a whole number of processes, 1 or more")
    if dist.is_torchelastic_launched():
        raise RuntimeError(
            "a study starts its own workers, so torchrun would run it several times: start it with python"
        )
    return [index(seed) for seed in seeds]


def _grid(plans: Mapping[str, Plan], seeds: list[int], setting: Any) -> dict[tuple[str, int], Job]:
    """Return the jobs, seed by seed: what is finished of an unfinished study can then be compared."""
    setting = identity.as_data(setting)
    versions = {
        "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "course_lib": course_lib.__version__,
    }  # fmt: skip
    made_by = {"setting": setting, "versions": versions, "command": _command()}
    grid = {}
    for seed in seeds:
        for name, plan in plans.items():
            key = identity.key(plan, seed, setting)
            about = {"key": key, "plan": identity.as_data(plan), "seed": seed, **made_by}
            grid[name, seed] = Job(plan, seed, about)
    return grid


def _command() -> str:
    """Return what started this process, without where this machine keeps it."""
    if any("ipykernel" in part for part in sys.orig_argv):
        notebook = os.environ.get("JPY_SESSION_NAME")
        return f"a cell of {Path(notebook).name}" if notebook else "a cell of a notebook"
    return shlex.join(["python", *sys.orig_argv[1:]])


def _work_off(
    folder: Path, jobs: Mapping[str, Job], fit: Fit, code: str | None, workers: int, timeout: float, watch: Watch
) -> None:  # fmt: skip
    """See to it that every job is over. A worker's end costs the run that it was at, and no other."""
    while left := [job for key, job in jobs.items() if key not in watch.over]:
        team = min(workers, len(left))
        with storage.claims(folder) as place:
            if workers == 1:
                _work(folder, place, left, fit, code, partial(watch.hear, 0))
                continue
            try:
                cluster.launch(
                    _work, folder.absolute(), place.absolute(), left, fit, code, cluster.report, workers=team, joined=False,
                    timeout=timeout, on_report=watch.hear,
                )  # fmt: skip
            except cluster.WorkerError as error:
                if error.rank not in watch.at:
                    raise
                watch.hear(error.rank, Sign(watch.at[error.rank], over=True, trouble=str(error)))
                watch.at.clear()
        # Another worker may have stored a run without getting to say so.
        watch.over |= {job.key for job in left if job.file(folder).exists()}


def _work(
    folder: Path, place: Path, jobs: list[Job], fit: Fit, code: str | None, report: Callable[[Sign], None]
) -> None:  # fmt: skip
    """Do jobs that nobody else has claimed, until there are none; each worker process runs this.

    `code`: the fingerprint that `fit` must have here too, or the runs would be stored under another one's name.
    """
    if code is not None and code != identity.fingerprint(fit):
        raise RuntimeError(
            "a module that fit uses is not the same here as where study.run was called: it was edited and not loaded again, or "
            "its values changed; call importlib.reload(module) or restart, or describe what fit does: setting={...}"
        )
    for job in jobs:
        if not storage.claim(place, job.key):
            continue
        report(Sign(job.key, over=False))
        try:
            storage.write(job.file(folder), {**job.about, **_result(job, fit)})
        except Exception as error:  # noqa: BLE001 (whatever it is, the other runs go on, and it is reported)
            summary = "".join(traceback.format_exception_only(error)).strip()
            report(Sign(job.key, over=True, trouble=f"{summary}\n\n{traceback.format_exc()}"))
        else:
            report(Sign(job.key, over=True))


def _result(job: Job, fit: Fit) -> dict[str, Any]:
    started = time.perf_counter()
    made = fit(job.plan, job.seed)
    seconds = time.perf_counter() - started
    if not isinstance(made, Run):
        raise TypeError(f"fit returned a {type(made).__name__}: let it return the Run of rounds.fit")
    if made.seed != job.seed:
        raise ValueError(f"fit returned a run with seed {made.seed}: pass seed=seed to rounds.fit")
    return results.record(made, seconds)


def _error(failures: Mapping[tuple[str, int], str], study: Study) -> StudyError:
    lines = [f"{len(failures)} runs failed; {len(study.records)} are finished and stored:"]
    lines += [f"- {plan}, seed {seed}: {said.splitlines()[0]}" for (plan, seed), said in failures.items()]
    lines.append("Mend the cause and call study.run again: it repeats no finished run.")
    (plan, seed), said = next(iter(failures.items()))
    lines.append(f"\n{plan}, seed {seed}:\n{said.rstrip()}")
    return StudyError("\n".join(lines), failures, study)
