"""What a run settles before any process starts: is the input sound, who takes part when, and which process hosts whom."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.federated.pipeline import Pipeline
from course_lib.federated.strategy import Strategy
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
class Job:
    """Everything about a run that every process may know; the clients' raw data is not part of it.

    `sizes`: examples of each participant; `attendance`: who takes part in each round; `hosts`: each participant's process.
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


def check_setting() -> None:
    """Raise ValueError where torch is set to make numbers of another kind than those that travel."""
    if torch.get_default_dtype() != torch.float32:
        raise ValueError(
            f"torch's default is {torch.get_default_dtype()}, but weights travel as torch.float32: call "
            "torch.set_default_dtype(torch.float32) first"
        )


def positions(held: Any, examples: int, what: str) -> list[np.ndarray]:
    """Return whatever says which of so many examples each client holds as one int64 array of positions a client.

    Raises ValueError for what has no order (sets, dicts), for fractions, and for an example that a client holds twice.
    """
    if isinstance(held, set | frozenset | Mapping | str):
        raise ValueError(  # noqa: TRY004 - as all bad input
            f"{what} is a {type(held).__name__}: pass a list with one array of example numbers a client"
        )
    found = []
    for client, given in enumerate(held):
        if isinstance(given, set | frozenset | Mapping | str):
            raise ValueError(  # noqa: TRY004 - as all bad input
                f"{what}: client {client} is given as a {type(given).__name__}: pass its example numbers, such as "
                "sorted(...) of it"
            )
        array = np.asarray(given)
        if array.dtype == bool:
            if array.shape != (examples,):
                raise ValueError(
                    f"{what}: client {client} has a mask of shape {array.shape}, but there are {examples} examples: one "
                    "truth value each"
                )
            array = np.flatnonzero(array)
        if array.ndim != 1 or not (array.dtype.kind in "iu" or not array.size):
            raise ValueError(
                f"{what}: client {client} is given by {array.dtype} of shape {array.shape}: pass whole numbers (n,) or a mask"
            )
        if len(np.unique(array)) < len(array):
            raise ValueError(f"{what}: client {client} holds an example twice: take np.unique(...) of its numbers")
        found.append(array.astype(np.int64))
    return found


def check(
    train: Dataset, clients: Partition, test: Dataset | None, workers: int, evaluate_every: int,
    stop_at: float | None, local_tests: Partition | None = None, validation: Dataset | None = None,
) -> None:  # fmt: skip
    """Raise ValueError, with the value and the remedy, for input that cannot be trained on."""
    if not len(clients):
        raise ValueError("clients is empty: pass one array of example indices a client, see data.partitions")
    for client, indices in enumerate(clients):
        if not len(indices):
            raise ValueError(f"client {client} holds no example: leave it out, or partition with allow_empty=False")
        lowest, highest = int(np.min(indices)), int(np.max(indices))
        if lowest < 0 or highest >= len(train):
            raise ValueError(
                f"client {client} holds examples {lowest} to {highest}, but the training set has examples 0 to "
                f"{len(train) - 1}: partition this training set"
            )
    if not 1 <= workers <= len(clients):
        raise ValueError(f"workers={workers} must lie between 1 and the number of clients, {len(clients)}")
    if evaluate_every < 1:
        raise ValueError(f"evaluate_every={evaluate_every} must be at least 1: 1 evaluates after every round")
    if stop_at is not None and (test is validation is None or not 0 < stop_at <= 1):
        raise ValueError(
            f"stop_at={stop_at} needs a validation or test set, and an accuracy above 0 and up to 1, such as 0.9"
        )
    for name, judged in (("test", test), ("validation", validation)):
        if judged is not None and (judged.shape, judged.classes) != (train.shape, train.classes):
            raise ValueError(
                f"{name} has examples of shape {judged.shape} in {len(judged.classes)} classes, train of shape {train.shape} "
                f"in {len(train.classes)}: take both from one data.load"
            )
    if local_tests is None:
        return
    if test is None or len(local_tests) != len(clients):
        raise ValueError(
            f"local_tests has {len(local_tests)} entries: it needs a test set, and one array of its indices for each of the "
            f"{len(clients)} clients"
        )
    for client, indices in enumerate(local_tests):
        if not len(indices) or min(indices) < 0 or max(indices) >= len(test):
            raise ValueError(
                f"local_tests gives client {client} {len(indices)} examples: give it one or more, from 0 to {len(test) - 1}"
            )


def check_plan(
    plan: Plan, module: nn.Module, train: Dataset, sizes: Sequence[int], stop_at: float | None,
    root: Dataset | None = None,
) -> None:  # fmt: skip
    """Raise ValueError, with the value and the remedy, for a plan that these participants cannot carry out."""
    clients = len(sizes)
    if stop_at is not None and plan.strategy is not None and not plan.strategy.one_model:
        raise ValueError(
            f"stop_at={stop_at} goes by the server's model, of which {type(plan.strategy).__name__} leaves parts untrained: leave it out"
        )
    if plan.required > clients:
        raise ValueError(
            f"required={plan.required} messages a round, but there are {clients} clients: every round would be skipped"
        )
    rule = plan.aggregation
    if rule is not None and rule.least > clients:
        raise ValueError(
            f"{rule!r} needs at least {rule.least} messages a round, but there are {clients} clients: count on at most "
            f"{rule.stands(clients)} attackers, or take another rule"
        )
    if rule is not None and ("reference" in rule.needs) != (root is not None):
        raise ValueError(
            f"aggregation={rule!r} and root={'None' if root is None else 'a data set'}: FLTrust compares with an update from the "
            "server's own data, and no other rule does: pass root=... to rounds.fit with it, and only with it"
        )
    named = [("faults", client) for client in plan.faults or ()]
    named += [("attack", client) for client in (plan.attack.clients if plan.attack else ())]
    for what, client in named:
        if not 0 <= client < clients:
            raise ValueError(
                f"{what} names client {client}, but there are {clients} clients: they go from 0 to {clients - 1}"
            )
    if plan.strategy is None or not plan.strategy.batch_norm:
        _check_buffers(module, train)
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules()):
        return
    for client, size in enumerate(sizes):
        batch = plan.batch_size or size
        if (size % batch or batch) == 1:
            try:
                deepcopy(module).train()(train.x[:1].clone())
            except ValueError as error:
                raise ValueError(
                    f"client {client} holds {size} examples, and the last batch of an epoch is a single one, which "
                    f"BatchNorm cannot normalise: take another batch_size than {plan.batch_size}"
                ) from error


def _check_buffers(module: nn.Module, train: Dataset) -> None:
    """Raise ValueError for a buffer that training changes: it is no weight, so each process would have its own."""
    tried = deepcopy(module).train()
    before = {name: buffer.clone() for name, buffer in tried.named_buffers()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        tried(train.x[:2].clone())
    changed = [name for name, buffer in tried.named_buffers() if not torch.equal(buffer, before.get(name, buffer[:0]))]
    if changed:
        raise ValueError(
            f"{type(module).__name__}: training changes the buffer {changed[0]}, which is not a weight and would differ "
            "between workers: make it a parameter, or keep it fixed"
        )


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
    if plan.fleet is None:
        return tuple(
            Attendance(cohort, dict.fromkeys(cohort, 1.0)) for cohort in cohorts(plan, len(sizes), seed)
        )  # fmt: skip
    wanted = max(1, round(plan.participation * len(sizes)))
    steps = [local_steps(plan, size) for size in sizes]
    theta, pipeline = torch.zeros(weights), Pipeline(plan.way, plan.stages, weights)
    download = pipeline.download(theta, pipeline.server_start(theta)).nbytes
    upload = pipeline.blank.nbytes
    return tuple(
        plan.fleet.attendance(number, wanted, steps, download, upload, seed) for number in range(plan.rounds)
    )  # fmt: skip


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


def check_attendance(strategy: Strategy | None, in_round: Sequence[Attendance]) -> None:
    """Raise ValueError, with the remedy, where a strategy does not go together with how clients take part."""
    if strategy is None:
        return
    if strategy.by_examples and any(now.counts for now in in_round):
        raise ValueError(
            f"{strategy!r} keeps a mean over all clients, by their examples: use a fleet without inverse_probability"
        )
    if strategy.needs_whole_work and any(share != 1 for now in in_round for share in now.work.values()):
        raise ValueError(
            f"{strategy!r} goes by the steps that were asked for, and a client did only part of them: use "
            "partial_work='drop', or uplink='both'"
        )


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
