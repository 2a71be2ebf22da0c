"""What gossip and silos share: how a run is made ready, which plans they can carry out, and the processes that do it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import nn

from course_lib import cluster
from course_lib.data import Dataset
from course_lib.learning import evaluation
from course_lib.models import ModelSpec, check_output
from course_lib.plans import Plan
from course_lib.rounds import checks
from course_lib.rounds.exchange import DivergedError
from course_lib.rounds.preparation import Partition

Log = TypeVar("Log")

# What a plan may say here; everything else must be as it is in a plain one.
_ANSWERED = ("name", "rounds", "data", "exchange", "learning_rate", "batch_size", "local_steps", "local_epochs")


def check_plain(plan: Plan, where: str) -> None:
    """Raise ValueError, naming the setting, for a plan with more than plain steps by everybody."""
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name not in _ANSWERED and value != field.default:
            raise ValueError(
                f"{where} has everybody take plain steps in every round: {field.name}={value!r} needs rounds.fit; "
                f"plan.but({field.name}={field.default!r}) leaves it out"
            )


def module_of(model: ModelSpec | nn.Module, train: Dataset, seed: int) -> nn.Module:
    """Return the model to train, with its first weights from the seed. Raises ValueError for one that does not fit the data."""
    checks.check_setting()
    module = model.build(train.shape, len(train.classes), seed) if isinstance(model, ModelSpec) else deepcopy(model)
    for parameter in module.parameters():  # the flat vector needs rows one after the other
        parameter.data = parameter.data.contiguous()
    check_output(module, train.shape, len(train.classes))
    return module


@contextmanager
def settled() -> Iterator[None]:
    """Let steps be taken in one thread and with gradients, and leave torch's generator and threads as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small batches lose more by changing threads than they gain, and one thread is repeatable
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def carry_out(
    work: Callable[..., Log], job: Any, given: Sequence[Any], rounds: int, timeout: float,
    progress: Callable[[int, int], None] | None,
) -> list[Log]:  # fmt: skip
    """Return what `work(job, given[rank], report)` returns in each of as many processes as `given` has entries, in rank order.

    One runs here; under torchrun they are its processes. `report(rounds done)` is shown by `progress`.
    Raises DivergedError as it was raised in a worker, and cluster.WorkerError where one fails.
    """

    def show(_rank: int, done: int) -> None:
        if progress is not None:
            progress(done, rounds)

    rank, world = cluster.join(timeout)
    if world > 1:
        return cluster.network.from_all(work(job, given[rank], lambda done: show(rank, done)))
    if len(given) == 1:
        return [work(job, given[0], lambda done: show(0, done))]
    try:
        return cluster.launch(
            _reporting,
            work,
            job,
            workers=len(given),
            per_rank=[(own,) for own in given],
            timeout=timeout,
            on_report=show,
        )
    except cluster.WorkerError as error:
        if isinstance(error.original, DivergedError):  # no worker is to blame: the same error as in one process
            raise error.original from None
        raise


def _reporting(work: Callable[..., Log], job: Any, own: Any) -> Log:
    return work(job, own, cluster.report)


def processes(workers: int, timeout: float) -> int:
    """Return how many processes there will be: those of torchrun where it started us, else `workers`."""
    _, world = cluster.join(timeout)
    return world if world > 1 else workers


def blocks(count: int, workers: int) -> tuple[int, ...]:
    """Return the process that hosts each of `count` participants: neighbours by number sit together."""
    return tuple(number * workers // count for number in range(count))


def local_accuracy(
    models: Sequence[nn.Module], train: Dataset, clients: Partition, test: Dataset | None, local_tests: Partition | None
) -> list[float]:
    """Return the accuracy of each client's model on its own test examples, or on its own training examples."""
    if test is not None and local_tests is not None:
        own = [test.subset(indices) for indices in local_tests]
    else:
        own = [train.subset(indices) for indices in clients]
    return [evaluation.accuracy(model, shard) for model, shard in zip(models, own, strict=True)]
