"""What a run settles before any process starts: who takes part when, what that spends, and which process hosts whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from course_lib.distributed.asynchronous import Asynchronous, arrivals
from course_lib.distributed.recovery import Checkpoints
from course_lib.federated.fleet import Attendance, OutOfStep
from course_lib.federated.participation import Devices
from course_lib.federated.pipeline import Pipeline
from course_lib.learning import keys
from course_lib.learning.sgd import steps_an_epoch
from course_lib.plans import Plan
from course_lib.privacy.in_plans import Budget
from course_lib.privacy.user_level import UserLevel, cohort
from course_lib.rounds.exchange import balanced_hosts

if TYPE_CHECKING:
    from course_lib.privacy.of_runs import Spending

# The indices of the training examples that each client holds.
Partition = Sequence[np.ndarray | Sequence[int]]


@dataclass(frozen=True)
class Keeping:
    """Where a run keeps checkpoints, and by what it recognises its own."""

    checkpoints: Checkpoints
    identity: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """Everything about a run that every process may know; the clients' raw data is not part of it.

    `sizes`: examples of each participant; `attendance`: who takes part in each round; `hosts`: each participant's process;
    `keeping`: where checkpoints are kept.
    """

    module: nn.Module
    plan: Plan
    seed: int
    sizes: tuple[int, ...]
    attendance: tuple[Attendance, ...]
    hosts: tuple[int, ...]
    evaluate_every: int
    stop_at: float | None
    keep_payloads: bool
    keeping: Keeping | None = None


def participant_sizes(plan: Plan, held: Sequence[int]) -> tuple[int, ...]:
    """Return how many examples each participant trains on, where the owners hold `held`."""
    if plan.data == "stays":
        return tuple(held)
    total, participants = sum(held), 1 if plan.exchange == "none" else len(held)
    return tuple(total // participants + (index < total % participants) for index in range(participants))


def cohorts(plan: Plan, participants: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Return the participants of each round, drawn from (seed, round): without replacement, or as the plan's privacy asks."""
    if isinstance(plan.privacy, UserLevel):
        draws = (cohort(range(participants), plan.participation, seed, number) for number in range(plan.rounds))
        return tuple(tuple(drawn) for drawn in draws)
    size = max(1, round(plan.participation * participants))
    if size == participants:
        return (tuple(range(participants)),) * plan.rounds
    drawn = []
    for round_index in range(plan.rounds):
        order = torch.randperm(participants, generator=keys.generator(seed, "cohort", round_index))
        drawn.append(tuple(sorted(order[:size].tolist())))
    return tuple(drawn)


def attendance(plan: Plan, sizes: Sequence[int], weights: int, seed: int) -> tuple[Attendance, ...]:
    """Return who takes part in each round, for participants with so many examples each and a model of `weights` weights."""
    if plan.fleet is None and plan.asynchronous is None:
        return tuple(
            Attendance(cohort, dict.fromkeys(cohort, 1.0)) for cohort in cohorts(plan, len(sizes), seed)
        )  # fmt: skip
    wanted = max(1, round(plan.participation * len(sizes)))
    steps = [local_steps(plan, size) for size in sizes]
    theta, pipeline = torch.zeros(weights), Pipeline(plan.way, plan.stages, weights)
    download = pipeline.download(theta, pipeline.server_start(theta)).nbytes
    upload = pipeline.blank.nbytes
    if plan.asynchronous is not None:
        return _out_of_step(plan, plan.asynchronous, steps, wanted, download, upload, seed)
    assert plan.fleet is not None
    return tuple(
        plan.fleet.attendance(number, wanted, steps, download, upload, seed) for number in range(plan.rounds)
    )  # fmt: skip


def _out_of_step(
    plan: Plan, by: Asynchronous, steps: Sequence[int], at_once: int, download: int, upload: int, seed: int
) -> tuple[Attendance, ...]:  # fmt: skip
    fleet = plan.fleet or Devices()
    if by.order is not None:
        source: arrivals.Source = arrivals.Recorded(by.order)
    elif isinstance(fleet, OutOfStep):
        source = arrivals.Simulated(fleet, steps, download, upload, seed)
    else:
        raise ValueError(f"fleet={fleet!r} cannot work out of step: it lacks what `federated.fleet.OutOfStep` asks for")
    timed = by.order is None and isinstance(fleet, OutOfStep) and fleet.timed
    pieces = arrivals.settle(by, plan.rounds, len(steps), at_once, source)
    return arrivals.attendance(pieces, plan.rounds, timed=timed)


def turns(in_round: Sequence[Attendance]) -> dict[tuple[int, int], int]:
    """Return, for each participant and round in which it begins to work, how many times it has done so before."""
    done: Counter[int] = Counter()
    found = {}
    for number, now in enumerate(in_round):
        for participant in now.working:
            found[participant, number] = done[participant]
            done[participant] += 1
    return found


def spending(plan: Plan, sizes: Sequence[int], in_round: Sequence[Attendance]) -> "Spending | None":
    """Return what a private plan spends round by round; None for one that is not private."""
    if plan.privacy is None:
        return None
    from course_lib.privacy import of_runs

    taken = [
        {client: max(1, round(share * local_steps(plan, sizes[client]))) for client, share in now.work.items()}
        for now in in_round
    ]
    return of_runs.spending(plan.privacy, plan.budget, plan.data == "pooled", sizes, taken, plan.participation)


def within_budget(budget: Budget, spending: "Spending") -> int:
    """Return how many rounds a budget allows. Raises ValueError where it is not enough for one."""
    rounds = spending.rounds_within(budget.epsilon)
    if not rounds:
        raise ValueError(
            f"budget={budget!r}: the first round alone takes epsilon to {spending.epsilon(1):.3g} at delta = {spending.delta:.2g}: "
            "raise the noise_multiplier (privacy.accounting.noise_for finds one), or the budget"
        )
    return rounds


def local_steps(plan: Plan, examples: int) -> int:
    """Return how many SGD steps a participant with so many examples takes in a round, when it does all its work."""
    if plan.local_steps is not None:
        return plan.local_steps
    assert plan.local_epochs is not None
    each = plan.steps_by.steps_an_epoch if plan.steps_by else steps_an_epoch(examples, plan.batch_size)
    return plan.local_epochs * each


def hosting(plan: Plan, held: Sequence[int], in_round: Sequence[Attendance], workers: int) -> tuple[int, ...]:
    """Return the process that holds each owner's data; process 0 is also the server."""
    if plan.exchange == "server":
        hosts = balanced_hosts([list(one.work) for one in in_round], held, workers)
        # Those who craft their messages together sit where the first of them does.
        joint = [owner for owner in range(len(held)) if any(owner in stage.together for stage in plan.stages)]
        return tuple(hosts[joint[0]] if owner in joint else host for owner, host in enumerate(hosts))
    return tuple(owner % workers for owner in range(len(held)))
