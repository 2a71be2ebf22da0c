"""The stops of the dial: the same task under one plan after the other, each a single answer away from one before it.

Every stop has 20 participants, batches of ten each, and computes the same number of gradients. The owners of the data hold it unevenly
(Dirichlet 1), also where it is pooled before training. From FedAvg on, a stop changes one thing of FedAvg at Dirichlet 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Literal

import torch

from course_lib import plans
from course_lib.adversary.poisoning import Attack, SignFlip
from course_lib.aggregation.robust import MultiKrum
from course_lib.compression import Quantise
from course_lib.federated.participation import Devices
from course_lib.federated.strategies import FedOpt
from course_lib.learning import keys
from course_lib.plans import Plan
from course_lib.privacy.accounting import noise_for
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import SecureAggregation
from course_lib.privacy.user_level import UserLevel
from course_lib.study.dial.tasks import BATCH, PARTICIPANTS, Skew, Task

CROWD, ASKED = 200, 0.25  # users of the stops with a crowd, and which share of them is asked in a round
ATTACKERS, COUNTED_ON = 4, 6  # 20%, and how many the defence is prepared for: nobody tells a server
SILOS = 4  # of five clients each
ANSWERING = 0.4  # half of the clients are asked, and of those one in five drops out
EPSILONS = (8, 3, 1)
FAMILIES = {
    "central": "All data in one place", "federated": "The data stays with its owners", "travels": "Who takes part, what travels",
    "private": "Differential privacy", "attacked": "Attack and defence", "leaderless": "In between, and without a server",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What a plan is made for: the task, how many `examples` all hold together, a rate, a seed, and the stop's own knob."""

    task: Task
    examples: int
    rate: float
    seed: int
    knob: float | None = None

    @property
    def steps(self) -> int:
        """Batches of ten in all passes over all examples."""
        return self.task.passes * self.examples // BATCH

    @property
    def rounds(self) -> int:
        return self.task.passes * self.task.rounds_a_pass

    @property
    def local_steps(self) -> int:
        """Steps of a client with as much data as the average, between two talks."""
        return max(1, self.steps // PARTICIPANTS // self.rounds)


@dataclass(frozen=True)
class Stop:
    """One stop. `plan(setting)`: what is carried out. `turned`: which answer is changed, and from what. `saw`: what a server sees.

    `rates`: where the search for a rate begins. `rate_of`: the stop whose rate it takes over, where its own cannot be tuned (under attack) or
    need not be (masks change no sum); with it, `knobs` is where the search for the stop's own setting begins. `family`: one of FAMILIES.
    """

    key: str
    title: str
    turned: str
    saw: str
    plan: Callable[[Setting], Plan]
    rates: tuple[float, ...] = (0.1, 0.2, 0.4)
    rate_of: str | None = None
    knobs: tuple[float, ...] = ()
    skew: Skew = "Dirichlet 1"
    family: str = "federated"
    participants: int = PARTICIPANTS
    versus: str = "fedavg_1"
    runs_on: Literal["rounds", "silos", "ring"] = "rounds"  # which loop carries the plan out


def _fedavg(of: Setting) -> Plan:
    plan = plans.fedavg(of.rounds, 1.0, 1, BATCH, of.rate)
    return plan if of.task.rounds_a_pass == 1 else plan.but(local_epochs=None, local_steps=of.local_steps)


def attackers(seed: int) -> tuple[int, ...]:
    """Return who attacks, drawn from the seed."""
    order = torch.randperm(PARTICIPANTS, generator=keys.generator(seed, "who attacks"))
    return tuple(sorted(order[:ATTACKERS].tolist()))


@cache
def _noise(epsilon: float, rate: float, steps: int, units: int) -> float:
    return noise_for(epsilon, rate, steps, 0.1 / units)


def _user_level(epsilon: float) -> Callable[[Setting], Plan]:
    def plan(of: Setting) -> Plan:
        assert of.knob is not None
        return _fedavg(of).but(privacy=UserLevel(_noise(epsilon, 1.0, of.rounds, PARTICIPANTS), of.knob))

    return plan


def _crowd(of: Setting) -> Plan:
    """Ten times the clients, of whom a quarter is asked in a round, and four times the rounds."""
    return plans.fedavg(round(of.rounds / ASKED), ASKED, 1, BATCH, of.rate)


def _crowd_private(epsilon: float) -> Callable[[Setting], Plan]:
    def plan(of: Setting) -> Plan:
        assert of.knob is not None
        return _crowd(of).but(privacy=UserLevel(_noise(epsilon, ASKED, round(of.rounds / ASKED), CROWD), of.knob))

    return plan


def _example_level(epsilon: float | None) -> Callable[[Setting], Plan]:
    """Clip each example's gradient to 1 and add noise; None draws the same batches and does neither."""

    def plan(of: Setting) -> Plan:
        rate = of.task.sample_rate
        by = ExampleLevel(0.0, inf, rate)
        if epsilon is not None:
            by = ExampleLevel(_noise(epsilon, rate, round(of.task.passes / rate), of.examples), 1.0, rate)
        return plans.fedavg(of.rounds, 1.0, 1, BATCH, of.rate).but(privacy=by)

    return plan


def _attacked(of: Setting) -> Plan:
    return _fedavg(of).but(attack=Attack(attackers(of.seed), model=SignFlip(5.0)))


def _hybrid(of: Setting) -> Plan:
    return plans.synchronous_sgd(of.rounds * of.local_steps, BATCH, of.rate)


_UPDATES = "every client's update"
_ITS_NOISE = "every client's update, clipped; the server adds the noise itself"
_NOISED = "every client's update, noised by the client"

STOPS = {
    stop.key: stop
    for stop in (
        Stop("one_machine", "one machine", "start", "all raw data",
             lambda of: plans.centralised(of.task.passes, BATCH, of.rate), (0.05, 0.1, 0.2), family="central", versus="ddp"),
        Stop("ddp", "DDP: 20 workers, every step", "20 workers share each step", "all raw data",
             lambda of: plans.synchronous_sgd(of.steps // PARTICIPANTS, BATCH, of.rate), (0.4, 0.8, 1.6), family="central",
             versus="one_machine"),
        Stop("local_sgd", "local SGD: merge once a pass", "they talk once a pass, not every step", "all raw data",
             lambda of: plans.local_sgd(of.rounds, of.local_steps, BATCH, of.rate), (0.2, 0.4, 0.8), family="central", versus="ddp"),
        Stop("diloco", "DiLoCo: with an outer optimiser", "an outer optimiser merges", "all raw data",
             lambda of: plans.diloco(of.rounds, of.local_steps, BATCH, of.rate), (0.1, 0.2, 0.4), family="central", versus="local_sgd"),
        Stop("asynchronous", "asynchronous: nobody waits", "nobody waits for anybody", "all raw data",
             lambda of: plans.asynchronous_sgd(of.steps, BATCH, of.rate), (0.025, 0.05, 0.1), family="central", versus="ddp"),
        Stop("fedavg_iid", "FedAvg, clients alike (IID)", "the data stays with its owners", _UPDATES, _fedavg, (0.2, 0.4, 0.8),
             skew="IID", versus="local_sgd"),
        Stop("fedavg_1", "FedAvg, uneven (Dirichlet 1)", "owners differ", _UPDATES, _fedavg, versus="fedavg_iid"),
        Stop("fedavg_01", "FedAvg, lopsided (Dirichlet 0.1)", "owners differ a lot", _UPDATES, _fedavg, skew="Dirichlet 0.1"),
        Stop("fedadam_01", "FedAdam, lopsided (Dirichlet 0.1)", "the server steps with Adam", _UPDATES,
             lambda of: _fedavg(of).but(strategy=FedOpt("adam", server_rate=of.knob)), rate_of="fedavg_01",
             knobs=(0.01, 0.03, 0.09), skew="Dirichlet 0.1", versus="fedavg_01"),
        Stop("partial", "half are asked, a fifth drop out", "not everybody takes part", "the updates of those who answer",
             lambda of: plans.fedavg(round(of.rounds / ANSWERING), 0.5, 1, BATCH, of.rate).but(fleet=Devices(dropout=0.2)), family="travels"),
        Stop("eight_bits", "updates in 8 bits", "updates are rounded to 8 bits", _UPDATES,
             lambda of: _fedavg(of).but(compression=Quantise()), family="travels"),
        Stop("secure", "secure aggregation", "updates are masked", "the sum of all updates, and no single one",
             lambda of: _fedavg(of).but(secure_aggregation=SecureAggregation(bound=1.0)), rate_of="fedavg_1", family="travels"),
        *(Stop(f"user_{epsilon}", f"user-level DP, epsilon {epsilon}", "noise hides each of 20 clients", _ITS_NOISE,
               _user_level(epsilon), rate_of="fedavg_1", knobs=(0.1, 0.3, 0.9), family="private") for epsilon in EPSILONS),
        Stop("crowd", "200 clients, a quarter at a time", "ten times the clients", "the updates of those who are asked", _crowd,
             participants=CROWD, family="private"),
        *(Stop(f"crowd_user_{epsilon}", f"user-level DP, epsilon {epsilon}, 200 clients", "noise hides each of 200 clients", _ITS_NOISE,
               _crowd_private(epsilon), rate_of="crowd", knobs=(0.1, 0.3, 0.9), participants=CROWD, versus="crowd",
               family="private") for epsilon in EPSILONS),
        Stop("example_off", "example-level steps, no noise yet", "fewer steps on larger, random batches", _UPDATES, _example_level(None),
             (0.4, 0.8, 1.6), family="private"),
        *(Stop(f"example_{epsilon}", f"example-level DP, epsilon {epsilon}", "noise hides each example", _NOISED,
               _example_level(epsilon), (0.25, 0.5, 1.0), family="private", versus="example_off") for epsilon in EPSILONS),
        Stop("attacked", "4 of 20 attack, undefended", "a fifth send -5 times their update", _UPDATES, _attacked, rate_of="fedavg_1",
             family="attacked"),
        Stop("defended", "4 of 20 attack, multi-Krum", "a robust rule instead of the mean", _UPDATES,
             lambda of: _attacked(of).but(aggregation=MultiKrum(COUNTED_ON)), (0.2, 0.4, 0.8), versus="attacked", family="attacked"),
        Stop("rule_alone", "nobody attacks, multi-Krum", "the robust rule in peace", _UPDATES,
             lambda of: _fedavg(of).but(aggregation=MultiKrum(COUNTED_ON)), rate_of="defended", family="attacked"),
        Stop("hybrid", f"hybrid: DDP in {SILOS} silos, FedAvg across", "five clients each pool their data in a silo", "each silo's update",
             _hybrid, (0.2, 0.4, 0.8), family="leaderless", runs_on="silos"),
        Stop("gossip", "gossip: a ring without a server", "neighbours average, nobody coordinates", "nothing: there is none; neighbours see models",
             _fedavg, (0.2, 0.4, 0.8), family="leaderless", runs_on="ring"),
    )
}  # fmt: skip


def without_attack(plan: Plan) -> Plan:
    """Return the plan that a rate is tuned under: nobody tunes under attack."""
    return plan.but(attack=None)
