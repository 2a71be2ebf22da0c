"""Two levels: inside a silo its members train together, and now and then the silos' models are averaged by a cloud.

With an all-reduce inside, a silo is a data centre or a hospital's own machines: data-parallel training inside, federated averaging
across (as in Lin et al. 2018, arXiv 1808.07217, hierarchical local SGD). With a server inside it is an edge server and its clients
(Liu et al. 2020, arXiv 1905.06641, HierFAVG).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.learning import keys
from course_lib.models import ModelSpec
from course_lib.plans import Plan
from course_lib.rounds import Run, checks, preparation
from course_lib.rounds.exchange import SERVER
from course_lib.rounds.fit import in_turn
from course_lib.rounds.preparation import Job, Partition
from course_lib.rounds.run import assemble
from course_lib.topology import carrying
from course_lib.topology.silos import Held, Silos, work


@dataclass(frozen=True)
class Hierarchy(Run):
    """A finished run on two levels. `silos`: the members of each; `every`: rounds inside between two averages across.

    `traffic` says in the column across whether a message went between a silo and the cloud, and not inside a silo.
    `history` counts rounds inside, with one row an evaluation, and has bytes_inside and bytes_across since the start (the moving of
    data inside a silo is inside).
    """

    silos: tuple[tuple[int, ...], ...] = field(kw_only=True)
    every: int = field(kw_only=True)

    @property
    def bytes_across(self) -> int:
        """All bytes between silos and the cloud: what goes over the slow link."""
        return int(self.traffic.loc[self.traffic["across"], "bytes"].sum())


@in_turn()
def fit(
    model: ModelSpec | nn.Module, train: Dataset, clients: Partition, plan: Plan, silos: Sequence[Sequence[int]], *,
    every: int = 10, test: Dataset | None = None, seed: int = 0, workers: int = 1, evaluate_every: int = 1,
    progress: Callable[[int, int], None] | None = None, keep_payloads: bool = False, timeout: float = 60.0,
    local_tests: Partition | None = None,
) -> Hierarchy:  # fmt: skip
    """Carry out `plan` inside each silo, average the silos' models after each `every` rounds of it, and return the run.

    `silos`: the numbers of the clients in each, such as `[[0, 1], [2, 3]]`; each client is in one.
    `plan`: what happens inside a silo. `plans.synchronous_sgd(steps)` pools the raw data of a silo's members, deals it to as many
    workers, and averages gradients at each step: DDP inside, `every` steps alone. `plans.local_sgd` merges less often inside;
    `plans.fedavg(rounds, participation=1.0)` leaves data with the members, and the silo is an edge server.
    `plan.rounds` counts rounds inside, and must be a multiple of `every`.
    Across, a silo counts by the examples that its members' steps went through, as a client does in federated averaging.
    One silo is `rounds.fit(plan)`; one member a silo, with single steps inside, is federated averaging with `every` local steps.
    `evaluate_every`: in averages across. `workers`: processes; a silo whose members are hosted by several has its own process group.
    The other parameters are as in `rounds.fit`.

    Raises ValueError for bad input before any process starts, rounds.DivergedError where messages are no longer finite, and
    cluster.WorkerError when a process fails.
    """
    seed = keys.seed(seed)
    clients = checks.positions(clients, len(train), "clients")
    if local_tests is not None and test is not None:
        local_tests = checks.positions(local_tests, len(test), "local_tests")
    workers = carrying.processes(workers, timeout)
    checks.check(train, clients, test, workers, evaluate_every, None, local_tests)
    groups = _checked(plan, silos, len(clients), every)
    module = carrying.module_of(model, train, seed)
    sizes = _sizes(plan, groups, [len(indices) for indices in clients])
    checks.check_plan(plan, module, train, sizes, None)
    everybody = preparation.attendance(plan, sizes, 0, seed)
    hosts = _hosts(groups, workers)
    job = Job(module, plan, seed, sizes, everybody, hosts, every * evaluate_every, None, keep_payloads)
    given = [Held({}, test if rank == hosts[groups[0][0]] else None) for rank in range(workers)]
    for client, indices in enumerate(clients):
        given[hosts[client]].shards[client] = train.subset(indices)
    logs = carrying.carry_out(work, Silos(job, groups, every), given, plan.rounds, timeout, progress)
    run = assemble(plan, seed, module, logs, None, everybody)
    traffic = run.traffic
    traffic["across"] = (traffic["sender"] == SERVER) | (traffic["receiver"] == SERVER)
    for name, across in (("bytes_inside", False), ("bytes_across", True)):
        by_round = traffic[traffic["across"] == across].groupby("round")["bytes"].sum()
        run.history[name] = [int(by_round[by_round.index <= done].sum()) for done in run.history["round"]]
    made = Hierarchy(
        **{name: getattr(run, name) for name in Run.__dataclass_fields__}, silos=groups, every=every
    )  # fmt: skip
    own = carrying.local_accuracy([run.model] * len(clients), train, clients, test, local_tests)
    return replace(made, client_accuracy=torch.tensor(own, dtype=torch.float64).numpy())


def even(clients: int, silos: int) -> list[list[int]]:
    """Return so many silos of neighbouring clients, as even as possible. Raises ValueError for more silos than clients."""
    if not 1 <= silos <= clients:
        raise ValueError(f"silos={silos} must lie between 1 and the number of clients, {clients}")
    return [[client for client in range(clients) if client * silos // clients == silo] for silo in range(silos)]


def _checked(plan: Plan, silos: Sequence[Sequence[int]], clients: int, every: int) -> tuple[tuple[int, ...], ...]:
    carrying.check_plain(plan, "hierarchical training")
    if plan.exchange == "none":
        raise ValueError(
            "exchange='none' is one machine: inside a silo members need 'all-reduce' (plans.synchronous_sgd) or 'server' (plans.fedavg)"
        )
    if plan.exchange == "server" and plan.data == "pooled":
        raise ValueError(
            "exchange='server' inside a silo is an edge server, whose clients keep their data: use data='stays'"
        )
    groups = tuple(tuple(int(client) for client in silo) for silo in silos)
    listed = sorted(client for silo in groups for client in silo)
    if not groups or not all(groups) or listed != list(range(clients)):
        raise ValueError(
            f"silos={[list(silo) for silo in groups]} must name each of the {clients} clients, 0 to {clients - 1}, exactly once, and "
            f"leave no silo empty; hierarchical.even({clients}, 2) makes two"
        )
    if not isinstance(every, int) or isinstance(every, bool) or every < 1 or plan.rounds % every:
        raise ValueError(
            f"every={every!r} must be a whole number that divides plan.rounds={plan.rounds}: the last round is followed by an average"
        )
    return groups


def _sizes(plan: Plan, groups: tuple[tuple[int, ...], ...], held: Sequence[int]) -> tuple[int, ...]:
    """Return how many examples each member trains on, after what its silo pools has been dealt out."""
    sizes = [0] * len(held)
    for silo in groups:
        dealt = preparation.participant_sizes(plan, [held[client] for client in silo])
        for client, size in zip(silo, dealt, strict=True):
            sizes[client] = size
    return tuple(sizes)


def _hosts(groups: tuple[tuple[int, ...], ...], workers: int) -> tuple[int, ...]:
    """Return the process of each client. No process works for two silos with other processes in each: it hosts silos as a whole, or a
    part of one. (Groups that overlap would get other names from torch in some of their processes than in others, and never meet.)"""
    team = [1] * len(groups)  # processes of each silo
    while sum(team) < workers:
        team[max(range(len(groups)), key=lambda silo: len(groups[silo]) / team[silo])] += 1
    placed: dict[int, int] = {}
    first = 0
    for number, silo in enumerate(groups):
        if workers <= len(groups):
            placed |= dict.fromkeys(silo, number * workers // len(groups))
        else:
            at = carrying.blocks(len(silo), team[number])
            placed |= {client: first + process for client, process in zip(silo, at, strict=True)}
            first += team[number]
    return tuple(placed[client] for client in range(len(placed)))
