"""A plan in, a run out: what is settled first, and which processes then carry it out."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy

from torch import nn

from course_lib import cluster
from course_lib.data import Dataset
from course_lib.distributed.recovery import Checkpoints
from course_lib.learning import keys
from course_lib.models import ModelSpec, check_output
from course_lib.plans import Plan
from course_lib.rounds import checks, preparation
from course_lib.rounds.exchange import DivergedError
from course_lib.rounds.preparation import Job, Partition
from course_lib.rounds.process import Holdings, work
from course_lib.rounds.resuming import identity
from course_lib.rounds.run import Run, assemble

_one_run = threading.RLock()


@contextmanager
def in_turn() -> Iterator[None]:
    """Let one run after the other take place: threads would share torch's generator and its number of threads."""
    with _one_run:
        yield


def _forked() -> None:
    """In a fork, forget the run that another thread of the parent was at: nobody here would ever end it."""
    global _one_run
    _one_run = threading.RLock()


os.register_at_fork(after_in_child=_forked)


@in_turn()
def fit(
    model: ModelSpec | nn.Module, train: Dataset, clients: Partition, plan: Plan, *,
    test: Dataset | None = None, seed: int = 0, workers: int = 1, evaluate_every: int = 1,
    stop_at: float | None = None, progress: Callable[[int, int], None] | None = None, keep_payloads: bool = False,
    timeout: float = 60.0, local_tests: Partition | None = None, validation: Dataset | None = None,
    root: Dataset | None = None, checkpoints: Checkpoints | None = None,
) -> Run:  # fmt: skip
    """Carry out `plan` and return the Run.

    `clients`: the indices of the training examples that each owner holds (see `data.partitions`). Where the plan pools
    the data, it is collected from them and dealt out again, identically distributed, to as many workers.
    `workers`: how many local processes share the work; 1 runs in this process. Under torchrun its world size counts.
    `stop_at`: end as soon as an evaluation reaches this accuracy (0 to 1) on the validation set, or else on the test set.
    `validation`: a data set by which `stop_at` and `run.best_model` choose, such as a split of the training set
    (`data.hold_out`). Without one they choose on the test set, and the accuracy there flatters the choice.
    `progress`: called with (rounds done, rounds). `timeout`: seconds after which a silent worker counts as hung.
    `local_tests`: the indices of the test examples on which each client judges its final model; by default, each takes its
    own training examples.
    `root`: a small clean data set of the server's own, for an `aggregation` that compares with it (FLTrust).
    `checkpoints`: where to save as the run goes; where a good checkpoint of the same run is found, it goes on from there, on any number
    of workers, to the same weights. See `distributed.recovery`.

    A client's message that is missing, misshapen or not finite is left out of the round, and named in `run.history`; with
    fewer than `plan.required` left the round is skipped. Warns of messages that were not finite, of clients without a fault.

    Runs in several threads of one process take turns. A client's examples are given by their numbers or by a mask of booleans over the
    data set; numpy's and torch's will do.

    Raises ValueError for bad input before any process starts, and where the server could use no message of the whole run;
    DivergedError when everybody's messages are no longer finite,
    and cluster.WorkerError when a worker process fails, also under torchrun: there it names the rank that this one lost.
    """
    seed = keys.seed(seed)
    checks.check_setting()
    clients = checks.positions(clients, len(train), "clients")
    if local_tests is not None and test is not None:
        local_tests = checks.positions(local_tests, len(test), "local_tests")
    rank, world = cluster.join(timeout)
    workers = world if world > 1 else workers
    checks.check(train, clients, test, workers, evaluate_every, stop_at, local_tests, validation)
    checks.check_checkpoints(checkpoints, keep_payloads)
    module = model.build(train.shape, len(train.classes), seed) if isinstance(model, ModelSpec) else deepcopy(model)
    for parameter in module.parameters():  # the flat vector needs rows one after the other, not channels-last
        parameter.data = parameter.data.contiguous()
    keeping = None
    if checkpoints is not None:
        given_data = {
            "train": train, "clients": clients, "test": test, "local_tests": local_tests, "validation": validation, "root": root,
            "evaluate_every": evaluate_every, "stop_at": stop_at,
        }  # fmt: skip
        keeping = preparation.Keeping(checkpoints, identity(plan, seed, module, given_data))
    if plan.strategy is not None:
        plan = plan.but(strategy=plan.strategy.fitted(module))
    if plan.compression is not None:
        plan = plan.but(compression=plan.compression.fitted(module))
    check_output(
        module, train.shape, len(train.classes), batch_norm=plan.strategy is not None and plan.strategy.batch_norm
    )

    held = [len(indices) for indices in clients]
    sizes = preparation.participant_sizes(plan, held)
    checks.check_plan(plan, module, train, sizes, stop_at, root)
    weights = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    attendance = preparation.attendance(plan, sizes, weights, seed)
    checks.check_attendance(plan.strategy, attendance)
    spending = preparation.spending(plan, sizes, attendance)
    if spending is not None and plan.budget is not None:
        attendance = attendance[: preparation.within_budget(plan.budget, spending)]
    hosts = preparation.hosting(plan, held, attendance, workers)
    job = Job(module, plan, seed, sizes, attendance, hosts, evaluate_every, stop_at, keep_payloads, keeping)
    given = [Holdings() for _ in range(workers)]
    given[0].root, given[0].test, given[0].validation = root, test, validation
    if keeping is not None and rank == 0:
        keeping.checkpoints.prepare()
        given[0].found = keeping.checkpoints.latest(keeping.identity)
    for client, indices in enumerate(clients):
        given[hosts[client]].shards[client] = plan.learned_from(train.subset(indices), client, seed)
        if test is not None and local_tests is not None:
            given[hosts[client]].local_tests[client] = test.subset(local_tests[client])

    shown: int | None = None

    def show(_rank: int, done: int) -> None:
        nonlocal shown
        if progress is not None:
            for number in range(done if shown is None else shown + 1, done + 1):  # quick rounds come several at a time
                progress(number, len(attendance))
        shown = done

    if world > 1:
        logs = cluster.network.from_all(work(job, given[rank], lambda done: show(rank, done)))
    elif workers == 1:
        logs = [work(job, given[0], lambda done: show(0, done))]
    else:
        own = [(holdings,) for holdings in given]
        try:
            logs = cluster.launch(work, job, workers=workers, per_rank=own, timeout=timeout, on_report=show)
        except cluster.WorkerError as error:
            if isinstance(error.original, DivergedError):  # no worker is to blame: the same error as in one process
                raise error.original from None
            raise
    if logs[0].warning and rank == 0:
        warnings.warn(logs[0].warning, RuntimeWarning, stacklevel=3)  # the caller of `fit`, past its turn
    return assemble(plan, seed, module, logs, spending, attendance)
