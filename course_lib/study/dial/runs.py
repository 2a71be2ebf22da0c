"""One run of one stop, and what is noted of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_lib import learning, rounds
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.plans import Plan
from course_lib.rounds.preparation import participant_sizes
from course_lib.rounds.run import Run
from course_lib.study.dial.clock import PROFILES, Course, seconds
from course_lib.study.dial.stops import SILOS, STOPS, Setting, Stop, without_attack
from course_lib.study.dial.tasks import TASKS, Material, Task, material, owners
from course_lib.topology import gossip, graphs, hierarchical
from course_lib.topology.gossip import Leaderless
from course_lib.topology.hierarchical import Hierarchy

_LOOKS = 20  # evaluations of a run
_ENOUGH = 10  # examples of its own by which a client's accuracy is judged
_CLOCK = tuple(PROFILES)
# Sealed messages of a round of secure aggregation, to the server and back: keys, shares, masked vectors, shares to unmask.
_TRIPS_BEHIND_MASKS = 4


@dataclass(frozen=True)
class Job:
    """One run of a stop on a task. `tuning`: judged by what rates are tuned on, without an attacker. `most`: stop after so many rounds."""

    task: str
    stop: str
    rate: float
    knob: float | None
    seed: int
    tuning: bool = False
    most: int | None = None


def plan_of(job: Job) -> Plan:
    """Return the plan that a job carries out."""
    stop, of = STOPS[job.stop], material(job.task, job.tuning)
    plan = stop.plan(Setting(TASKS[job.task], len(of.train), job.rate, job.seed, job.knob))
    if job.most is not None:
        # Silos average after the last of their steps: never in between.
        each = local_steps(job) if stop.runs_on == "silos" else 1
        plan = plan.but(rounds=min(max(each, job.most // each * each), plan.rounds))
    return without_attack(plan) if job.tuning else plan


def measure(job: Job, progress: Any = None) -> dict[str, Any]:
    """Return what a run comes to; see `noted`. One that breaks has no accuracy; one without a round is the untrained model."""
    torch.set_num_threads(1)
    task, stop, of = TASKS[job.task], STOPS[job.stop], material(job.task, job.tuning)
    if job.most == 0:
        untrained = task.model.build(of.train.shape, len(of.train.classes), job.seed)
        return {"score": round(learning.report(untrained, of.judge)[task.score], 5), "broken": False}
    clients, tests = owners(of, stop.skew, stop.participants, job.seed)
    try:
        run = fitted(job, clients, progress)
    except rounds.DivergedError:
        return dict.fromkeys(("score", "accuracy", "macro_f1", "pr_auc"), float("nan")) | {
            "worst_client": None,
            "epsilon": None,
            "broken": True,
        }
    return noted(run, task, stop, of, clients, tests)


def fitted(job: Job, clients: Sequence[np.ndarray], progress: Any = None) -> Run:
    """Carry out a job's plan with the loop that its stop runs on. Raises rounds.DivergedError for a run that breaks."""
    of, model, runs_on, plan = (
        material(job.task, job.tuning),
        TASKS[job.task].model,
        STOPS[job.stop].runs_on,
        plan_of(job),
    )
    every = max(1, plan.rounds // _LOOKS)
    own: dict[str, Any] = {"test": of.judge, "seed": job.seed, "evaluate_every": every, "progress": progress}
    if runs_on == "ring":
        return gossip.fit(model, of.train, clients, plan, graphs.ring(len(clients)), **own)
    if runs_on == "silos":
        each = local_steps(job)
        own["evaluate_every"] = max(1, every // each)
        return hierarchical.fit(
            model, of.train, clients, plan, hierarchical.even(len(clients), SILOS), every=each, **own
        )
    return rounds.fit(model, of.train, clients, plan, **own)


def local_steps(job: Job) -> int:
    """Return how many steps silos take between two averages of all."""
    return Setting(TASKS[job.task], len(material(job.task, job.tuning).train), job.rate, job.seed, job.knob).local_steps


def noted(
    run: Run, task: Task, stop: Stop, of: Material, clients: Sequence[np.ndarray], tests: Sequence[np.ndarray]
) -> dict[str, Any]:  # fmt: skip
    """Return what is kept of a run.

    `accuracy`, `macro_f1`, `pr_auc` and `worst_client` (the accuracy on the own test examples of the client that fares worst, of those with
    ten or more) from 0 to 1; `score`: the one that the task goes by; `bytes_per_participant`: what went through its link, either way, raw data
    included; `examples`: gradients computed by all; `seconds`: simulated, by profile; `epsilon` of a private run.
    `curve`: [round, score, bytes, seconds by profile] at each evaluation; only the last has a score that is no accuracy.
    """
    report = reported(run, of.judge)
    spent, clocks = (
        link(run, stop.participants),
        {name: seconds(course(run, task, stop, of, clients), PROFILES[name]) for name in _CLOCK},
    )
    done = run.history["round"].to_numpy(dtype=int)
    seen = run.history["node_accuracy" if isinstance(run, Leaderless) else "accuracy"]
    known = seen.round(5).tolist() if task.score == "accuracy" else [None] * len(done)
    scores = [*known[:-1], round(report[task.score], 5)]
    curve = [
        [int(at), score, round(sent), *(float(f"{clocks[name][at - 1]:.4g}") for name in _CLOCK)]
        for at, score, sent in zip(done, scores, spent, strict=True)
    ]
    return {
        "score": round(report[task.score], 5),
        "accuracy": round(report["accuracy"], 5), "macro_f1": round(report["macro_f1"], 5), "pr_auc": round(report["pr_auc"], 5),
        "worst_client": worst_client(run, of, tests), "bytes_per_participant": curve[-1][2],
        **({"bytes_across": round(run.bytes_across / stop.participants)} if isinstance(run, Hierarchy) else {}),
        "examples": round(float(sum(sum(each.values()) for each in gradients(run.plan, run.attendance, _sizes(run.plan, clients))))),
        "seconds": dict(zip(_CLOCK, curve[-1][3:], strict=True)),
        **_promise(run),
        "broken": False, "curve": curve,
    }  # fmt: skip


def reported(run: Run, judge: Dataset) -> dict[str, float]:
    """Return `learning.report` of the run's model; without a server, the mean over the models that everybody has, for nobody has their mean."""
    models = run.models if isinstance(run, Leaderless) else [run.model]
    found = [learning.report(model, judge) for model in models]
    return {name: sum(own[name] for own in found) / len(found) for name in found[0]}


def _promise(run: Run) -> dict[str, Any]:
    """Return epsilon with its unit and delta; nobody may quote the one without the others."""
    if run.spending is None or not run.spending.noise_multiplier:
        return {"epsilon": None}
    said = run.guarantee
    return {"epsilon": round(said.epsilon, 3), "delta": said.delta, "unit": said.unit}


def worst_client(run: Run, of: Material, tests: Sequence[np.ndarray]) -> float | None:
    """Return the accuracy of the run's model for the client that it serves worst; None where most clients have too few examples to tell."""
    models = run.models if isinstance(run, Leaderless) else [run.model] * len(tests)
    right = {
        id(model): (learning.evaluation.scores(model, of.judge.x).argmax(1) == of.judge.y).numpy() for model in models
    }
    own = [
        float(right[id(model)][test].mean()) for model, test in zip(models, tests, strict=True) if len(test) >= _ENOUGH
    ]
    return round(min(own), 4) if len(own) > len(tests) / 2 else None


def _sizes(plan: Plan, clients: Sequence[np.ndarray]) -> tuple[int, ...]:
    return participant_sizes(plan, [len(own) for own in clients])


def gradients(plan: Plan, attendance: Sequence[Attendance], sizes: Sequence[int]) -> list[dict[int, float]]:
    """Return how many examples' gradients each participant computes, round by round."""
    found = []
    for now in attendance:
        own = {}
        for participant, share in now.work.items():
            if plan.local_epochs is not None:
                each = float(plan.local_epochs * sizes[participant])
            else:
                each = float((plan.local_steps or 1) * min(plan.batch_size or sizes[participant], sizes[participant]))
            own[participant] = share * each
        found.append(own)
    return found


def link(run: Run, participants: int) -> np.ndarray:
    """Return the bytes that have gone through a participant's own link, either way, at each evaluation: the mean over participants.

    Between workers a message goes through two such links; to and from a server through one, for the server's is nobody's own.
    """
    kept = run.history
    up, down, moved = (kept[name].to_numpy(dtype=float) for name in ("bytes_up", "bytes_down", "bytes_moved"))
    if isinstance(run, Hierarchy):
        across = kept["bytes_across"].to_numpy(dtype=float)
        between = 2 * (up - across / 2)  # gradients and their means, between the workers of a silo
        return (between + up + down + moved) / participants
    ends = 2 if run.plan.exchange == "all-reduce" or isinstance(run, Leaderless) else 1
    return (ends * (up + down) + moved) / participants


def course(run: Run, task: Task, stop: Stop, of: Material, clients: Sequence[np.ndarray]) -> Course:
    """Return what the clock has to know of a run."""
    plan, last = run.plan, run.history.iloc[-1]
    work = [max(each.values(), default=0.0) for each in gradients(plan, run.attendance, _sizes(plan, clients))]
    up, down = float(last["bytes_up"]), float(last["bytes_down"])
    rounds_done, heard = len(run.attendance), sum(len(now.work) for now in run.attendance)
    asked = sum(len(now.asked) for now in run.attendance)
    moved = dealt = 0.0
    if plan.data == "pooled":
        whole = float(
            run.traffic.loc[
                (run.traffic["kind"] == "data") & run.traffic["sender"].str.startswith("client"), "bytes"
            ].sum()
        )
        moved = whole * max(len(own) for own in clients) / len(of.train)
        dealt = 0.0 if plan.exchange == "none" else whole / stop.participants
    trips = _TRIPS_BEHIND_MASKS if plan.secure_aggregation else 1
    basis: dict[str, Any] = {"participants": stop.participants, "multiplications": task.multiplications}
    if isinstance(run, Hierarchy):
        across = run.bytes_across / len(run.silos) / (rounds_done / run.every) / 2
        inside = 2 * (up - run.bytes_across / 2) / stop.participants / rounds_done
        return Course(
            np.array(work), "silos", sent=across, received=across, moved=moved, dealt=dealt, members=len(run.silos[0]), inside=inside,
            every=run.every, **basis,
        )  # fmt: skip
    if isinstance(run, Leaderless):
        return Course(np.array(work), "neighbours", sent=down / stop.participants / rounds_done, received=0.0, **basis)
    if plan.exchange == "all-reduce":
        sent, received, exchange = (up + down) / stop.participants / rounds_done, 0.0, "all-reduce"
    elif plan.exchange == "none":
        sent, received, exchange = 0.0, 0.0, "none"
    else:
        sent, received = up / max(1, heard), down / max(1, asked)
        exchange = "asynchronous" if plan.asynchronous is not None else "server"
    return Course(
        np.array(work), exchange, sent=sent, received=received, trips=trips, moved=moved, dealt=dealt, **basis
    )


__all__ = ["Job", "course", "fitted", "gradients", "link", "local_steps", "measure", "noted", "plan_of", "worst_client"]
