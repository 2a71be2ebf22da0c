"""A plan answers the four questions that separate distributed from federated learning.

Where is the data (`data`), how long does each side work alone (`local_steps` or `local_epochs`), what travels and to whom
(`exchange`), and who takes part (`participation`). `rounds.fit` carries any plan out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from course_lib import compatibility
from course_lib.adversary.attack import Attack
from course_lib.adversary.hostile import Hostile
from course_lib.aggregation.mixing import Mixed
from course_lib.aggregation.rule import Rule
from course_lib.compression import Compression
from course_lib.data import Dataset
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.diloco import DiLoCo
from course_lib.federated.faults import Fault, Faults
from course_lib.federated.fleet import Fleet
from course_lib.federated.momentum import ClientMomentum
from course_lib.federated.packing import packed
from course_lib.federated.stage import Stage
from course_lib.federated.strategy import OneStep, Strategy
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import Budget, SecureAggregation
from course_lib.privacy.private_users import PrivateUsers
from course_lib.privacy.user_level import UserLevel


@dataclass(frozen=True)
class Plan:
    """One description of a run; build it with a function of this module and vary it with `but`.

    `data`: "pooled" moves everyone's raw data to one owner, who shuffles it and deals it out; "stays" moves none.
    `exchange`: "server" (each participant with the server), "all-reduce" (workers with each other) or "none".
    `participation`: share of participants in a round, 0 to 1; at least one takes part.
    `local_steps` or `local_epochs`: SGD steps, or passes over the own examples, between two exchanges.
    `batch_size`: examples a step for each participant; None is all that it holds.
    `compression`: how a client's or worker's message is made smaller, see `compression`.

    In the mean a message counts by the examples that the full work of its round goes through, not by the steps taken: partial
    work counts as if it were whole, and with fixed `local_steps` clients with full batches count alike.

    With a server, federated learning has more to answer:
    `strategy`: what client and server do differently from averaging, see `federated.strategies`.
    `fleet`: the clients' devices and how reliable they are, see `federated.participation`.
    `required`: a round with fewer usable messages than this is skipped.
    `client_momentum`: each client sends a running mean of its updates, so much of it from before, see `federated.momentum`.
    `attack`: clients that poison their data or craft what they send, see `adversary.poisoning`.
    `aggregation`: a rule that stands attackers instead of the mean, see `aggregation.robust`; every message then counts alike.
    `secure_aggregation`: the server learns the sum of a round's messages and no single one, see `privacy.secure_aggregation`.
    `privacy`: local steps that hide single examples (`privacy.example_level`; goes with any exchange, and `batch_size` is then its
    sample rate's affair), or rounds that hide single clients (`privacy.user_level`). `budget`: where its epsilon has to end.
    `asynchronous`: the server makes a step without waiting for everybody, see `distributed.asynchronous`; a round is then a step of
    the server, and `participation` the share of the clients that work at the same time. The fleet's devices say who is when done;
    without any, all take equally long and chance decides who is first.
    `faults`: for some clients, `fault(message, round)` returns what the client sends instead of its message: anything. Out of step, the
    round is the client's own count.
    Raises ValueError, naming the value, for settings that make no sense.
    """

    name: str
    rounds: int
    data: Literal["pooled", "stays"]
    exchange: Literal["server", "all-reduce", "none"]
    learning_rate: float
    batch_size: int | None = None
    local_steps: int | None = None
    local_epochs: int | None = None
    participation: float = 1.0
    strategy: Strategy | None = None
    compression: Compression | None = None
    fleet: Fleet | None = None
    required: int = 1
    faults: Mapping[int, Fault] | None = None
    client_momentum: float = 0.0
    attack: Attack | None = None
    aggregation: Rule | Mixed | None = None
    secure_aggregation: SecureAggregation | None = None
    privacy: ExampleLevel | UserLevel | None = None
    budget: Budget | None = None
    asynchronous: Asynchronous | None = None

    def __post_init__(self) -> None:
        compatibility.check(self)

    @property
    def way(self) -> Strategy:
        """The strategy; without one, the step that the server takes with a gradient, or the mean of the updates."""
        if self.strategy is not None:
            return self.strategy
        return OneStep(self.learning_rate) if self.sends == "gradient" else Strategy()

    @property
    def steps_by(self) -> ExampleLevel | None:
        """How local steps are taken, if not as plain SGD."""
        return self.privacy if isinstance(self.privacy, ExampleLevel) else None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What happens to a message on its way, in the order in which a client sees to it."""
        found: list[Stage] = []
        if self.client_momentum:
            found.append(ClientMomentum(self.client_momentum))
        if self.attack:
            found.append(Hostile(self.attack))
        if self.faults:
            found.append(Faults(self.faults))
        if isinstance(self.privacy, UserLevel):
            found.append(PrivateUsers(self.privacy))
        if self.compression:
            found.append(packed(self.compression, self.exchange))
        return tuple(found)

    def learned_from(self, shard: Dataset, client: int, seed: int) -> Dataset:
        """Return what a client trains on, of what it holds: for most, all of it as it is."""
        return self.attack.poison(shard, client, seed) if self.attack else shard

    @property
    def sends(self) -> Literal["gradient", "update"]:
        """What travels: after a single step the gradient itself, otherwise, or with a strategy, the change of the weights."""
        return "gradient" if self.local_steps == 1 and self.strategy is None and self.privacy is None else "update"

    def but(self, **changes: Any) -> "Plan":
        """Return this plan with some answers changed, for example `plan.but(participation=0.5)`."""
        return replace(self, **changes)


def centralised(epochs: int = 10, batch_size: int = 32, learning_rate: float = 0.1) -> Plan:
    """One machine trains on everybody's data; a round is an epoch."""
    return Plan("centralised", epochs, "pooled", "none", learning_rate, batch_size, local_epochs=1)


def synchronous_sgd(steps: int = 500, batch_size: int | None = 32, learning_rate: float = 0.1) -> Plan:
    """Data-parallel SGD: identically distributed shards, one step a round, gradients averaged over all workers.

    `batch_size` is each worker's, as in `DistributedDataParallel`: w workers take steps on w x batch_size examples.
    """
    return Plan("synchronous SGD", steps, "pooled", "all-reduce", learning_rate, batch_size, local_steps=1)


def local_sgd(rounds: int = 50, local_steps: int = 10, batch_size: int = 32, learning_rate: float = 0.1) -> Plan:
    """Data-parallel SGD whose workers take several steps between averaging (Stich 2019, arXiv 1805.09767).

    Post-local SGD (Lin et al. 2018, arXiv 1808.07217) begins in step: pass the `model` of a `synchronous_sgd` run to the `rounds.fit`
    of this plan, with another seed for other batches.
    """
    return Plan("local SGD", rounds, "pooled", "all-reduce", learning_rate, batch_size, local_steps=local_steps)


def diloco(
    rounds: int = 50, local_steps: int = 10, batch_size: int = 32, learning_rate: float = 0.1, outer_rate: float = 0.7,
    momentum: float = 0.9,
) -> Plan:  # fmt: skip
    """Local SGD with an outer Nesterov step on what the workers' steps came to (Douillard et al. 2023, arXiv 2311.08105)."""
    outer = DiLoCo(outer_rate, momentum, nesterov=momentum > 0)
    return local_sgd(rounds, local_steps, batch_size, learning_rate).but(name="DiLoCo", strategy=outer)


def asynchronous_sgd(
    steps: int = 500, batch_size: int | None = 32, learning_rate: float = 0.1, buffer: int = 1, bound: int | None = None,
    fleet: Fleet | None = None,
) -> Plan:  # fmt: skip
    """Asynchronous SGD (Dean et al. 2012, "Large scale distributed deep networks"): a parameter server takes a step with each gradient
    as it comes, or with `buffer` of them, on whatever version of the weights it is based; see `distributed.asynchronous`."""
    return Plan(
        "asynchronous SGD", steps, "pooled", "server", learning_rate, batch_size, local_steps=1, fleet=fleet,
        asynchronous=Asynchronous(buffer, bound),
    )  # fmt: skip


def fedsgd(rounds: int = 100, participation: float = 1.0, learning_rate: float = 0.1) -> Plan:
    """FedSGD (McMahan et al. 2017, arXiv 1602.05629): one gradient over all of a client's own examples a round."""
    return Plan(
        "FedSGD", rounds, "stays", "server", learning_rate, None, local_steps=1, participation=participation
    )  # fmt: skip


def fedavg(
    rounds: int = 30, participation: float = 0.1, epochs: int = 5, batch_size: int | None = 10,
    learning_rate: float = 0.1,
) -> Plan:  # fmt: skip
    """Federated averaging (McMahan et al. 2017, arXiv 1602.05629, algorithm 1): C, E and B are the paper's names for
    `participation`, `epochs` and `batch_size`."""
    return Plan(
        "FedAvg", rounds, "stays", "server", learning_rate, batch_size, local_epochs=epochs, participation=participation
    )  # fmt: skip
