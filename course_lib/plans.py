"""A plan answers the four questions that separate distributed from federated learning.

Where is the data (`data`), how long does each side work alone (`local_steps` or `local_epochs`), what travels and to whom
(`exchange`), and who takes part (`participation`). `rounds.fit` carries any plan out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from course_lib.adversary.attack import Attack
from course_lib.adversary.hostile import Hostile
from course_lib.aggregation.mixing import Mixed
from course_lib.aggregation.rule import Rule
from course_lib.compression import Compression
from course_lib.data import Dataset
from course_lib.federated.faults import Fault, Faults
from course_lib.federated.fleet import Fleet
from course_lib.federated.momentum import ClientMomentum
from course_lib.federated.packing import Packed
from course_lib.federated.stage import Stage
from course_lib.federated.strategy import OneStep, Strategy
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import Budget, SecureAggregation
from course_lib.privacy.private_users import PrivateUsers
from course_lib.privacy.user_level import UserLevel

# What only a server's messages go through.
_WITH_A_SERVER = (
    "strategy",
    "compression",
    "fleet",
    "faults",
    "client_momentum",
    "attack",
    "aggregation",
    "secure_aggregation",
)


@dataclass(frozen=True)
class Plan:
    """One description of a run; build it with a function of this module and vary it with `but`.

    `data`: "pooled" moves everyone's raw data to one owner, who shuffles it and deals it out; "stays" moves none.
    `exchange`: "server" (each participant with the server), "all-reduce" (workers with each other) or "none".
    `participation`: share of participants in a round, 0 to 1; at least one takes part.
    `local_steps` or `local_epochs`: SGD steps, or passes over the own examples, between two exchanges.
    `batch_size`: examples a step for each participant; None is all that it holds.

    In the mean a message counts by the examples that the full work of its round goes through, not by the steps taken: partial
    work counts as if it were whole, and with fixed `local_steps` clients with full batches count alike.

    With a server, federated learning has more to answer:
    `strategy`: what client and server do differently from averaging, see `federated.strategies`.
    `compression`: how a client's message is made smaller, see `compression`.
    `fleet`: the clients' devices and how reliable they are, see `federated.participation`.
    `required`: a round with fewer usable messages than this is skipped.
    `client_momentum`: each client sends a running mean of its updates, so much of it from before, see `federated.momentum`.
    `attack`: clients that poison their data or craft what they send, see `adversary.poisoning`.
    `aggregation`: a rule that stands attackers instead of the mean, see `aggregation.robust`; every message then counts alike.
    `secure_aggregation`: the server learns the sum of a round's messages and no single one, see `privacy.secure_aggregation`.
    `privacy`: local steps that hide single examples (`privacy.example_level`; goes with any exchange, and `batch_size` is then its
    sample rate's affair), or rounds that hide single clients (`privacy.user_level`). `budget`: where its epsilon has to end.
    `faults`: for some clients, `fault(message, round)` returns what the client sends instead of its message: anything.
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

    def __post_init__(self) -> None:
        for name in ("rounds", "local_steps", "local_epochs", "batch_size", "required"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1")
        if (self.local_steps is None) == (self.local_epochs is None):
            raise ValueError(
                f"give either local_steps or local_epochs, got local_steps={self.local_steps} and "
                f"local_epochs={self.local_epochs}"
            )
        if not 0 <= self.participation <= 1:
            raise ValueError(f"participation={self.participation} must lie between 0 and 1: 0.1 picks a tenth a round")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0 and finite, for example 0.1")
        if self.exchange != "server" and self.participation < 1:
            raise ValueError(
                f"participation={self.participation} needs exchange='server': in an {self.exchange!r} exchange "
                "everyone takes part"
            )
        for name in _WITH_A_SERVER:
            if getattr(self, name) and self.exchange != "server":
                raise ValueError(f"{name}={getattr(self, name)!r} needs exchange='server', not {self.exchange!r}")
        if self.compression and type(self.strategy or Strategy()).message_size is not Strategy.message_size:
            raise ValueError(
                f"compression={self.compression!r} packs plain updates, but with {self.strategy!r} clients send more or less "
                "than that: use one or the other"
            )
        if not 0 <= self.client_momentum < 1:
            raise ValueError(f"client_momentum={self.client_momentum} must lie in [0, 1), for example 0.9")
        if self.aggregation is not None and self.strategy is not None and self.strategy.by_examples:
            raise ValueError(
                f"aggregation={self.aggregation!r} gives every client the same say, but {self.strategy!r} keeps a mean by examples: "
                "use one or the other"
            )
        if self.secure_aggregation is not None:
            self._check_secure_aggregation()
        self._check_privacy()
        if self.exchange == "none" and self.data != "pooled":
            raise ValueError("exchange='none' needs data='pooled': one machine trains on everything")

    def _check_privacy(self) -> None:
        if self.budget is not None and self.privacy is None:
            raise ValueError(f"budget={self.budget!r} needs privacy=...: without noise the first round exceeds it")
        if self.steps_by is not None and self.strategy is not None and not self.strategy.by_steps:
            raise ValueError(
                f"strategy={self.strategy!r} sends something of its clients' losses, which private steps do not hide: use another"
            )
        if not isinstance(self.privacy, UserLevel):
            return
        if self.exchange != "server":
            raise ValueError(
                f"privacy={self.privacy!r} hides clients, and needs exchange='server', not {self.exchange!r}"
            )
        for name, why in (
            ("fleet", "its cohorts are drawn as the accountant assumes, each client by itself"),
            ("aggregation", "its noise is measured for a sum over clients"),
            ("compression", "what packing does to a message comes after it is clipped, and may make it longer"),
        ):
            if getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)!r} does not go with {self.privacy!r}: {why}")
        if self.privacy.noise_by == "server" and self.required > 1:
            raise ValueError(
                f"required={self.required} does not go with noise by the server: a round counts whoever comes, because skipping "
                "one would tell how large its secret cohort was"
            )
        if self.privacy.noise_by == "clients" and not self.secure_aggregation:
            raise ValueError(
                "noise_by='clients' needs secure_aggregation: a server that sees single messages sees each with little noise"
            )
        strategy = self.strategy or Strategy()
        if strategy.by_examples or strategy.message_size(8) != 8 or type(strategy).read is not Strategy.read:
            raise ValueError(
                f"strategy={strategy!r} sends more than an update, or weighs by examples: it does not go with {self.privacy!r}"
            )

    def _check_secure_aggregation(self) -> None:
        for name, why in (
            ("aggregation", "a rule that stands attackers has to see single messages"),
            ("compression", "packed messages do not add up"),
            ("faults", "nobody could tell a message that is none, or leave it out"),
        ):
            if getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)!r} does not go with secure_aggregation: {why}")
        strategy = self.strategy or Strategy()
        if strategy.by_examples or type(strategy).read is not Strategy.read:
            raise ValueError(
                f"strategy={strategy!r} does not go with secure_aggregation: its server reads single messages"
            )

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
            found.append(Packed(self.compression))
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
    """Data-parallel SGD whose workers take several steps between averaging (Stich 2019, arXiv 1805.09767)."""
    return Plan("local SGD", rounds, "pooled", "all-reduce", learning_rate, batch_size, local_steps=local_steps)


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
