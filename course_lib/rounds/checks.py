"""Is the input of a run sound? Everything here is looked at before any process starts."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.distributed.recovery import Checkpoints
from course_lib.federated.fleet import Attendance
from course_lib.federated.strategy import Strategy
from course_lib.plans import Plan
from course_lib.privacy.example_level import refuse_batch_norm
from course_lib.rounds.preparation import Partition


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


def check_checkpoints(checkpoints: Checkpoints | None, keep_payloads: bool) -> None:
    """Raise TypeError or ValueError, with the remedy, for checkpoints that cannot be kept."""
    if checkpoints is None:
        return
    if not isinstance(checkpoints, Checkpoints):
        raise TypeError(
            f"checkpoints={checkpoints!r} must say how often: pass recovery.Checkpoints({str(checkpoints)!r}, every=10)"
        )
    if keep_payloads:
        raise ValueError(
            "keep_payloads=True keeps every message in memory, of which no checkpoint is made: use one or the other"
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
    if plan.asynchronous is not None and plan.asynchronous.buffer > clients:
        raise ValueError(
            f"buffer={plan.asynchronous.buffer}, but there are {clients} clients with one message each: it would never be full"
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
    if plan.steps_by is not None:
        refuse_batch_norm(module)
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
