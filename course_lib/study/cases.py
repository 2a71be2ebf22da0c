"""The cases that introductions name, each trained on pooled records (DML), on separate ones (FL), in between, and by each owner alone.

Equal work: in every way a record is gone over `passes` times. DML gathers all records and trains on two workers of 16 records each, which is
one process on 32 (lesson 02). FL is federated averaging with every owner in every round, one pass between two messages. Hybrid:
neighbouring owners pool their records in a data centre of two such workers, and the centres average once a pass. Gossip: no server,
each owner averages with its neighbours on a graph. Everybody is judged on each owner's test records, by that owner's model.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import models, plans, rounds, topology
from course_lib.adversary.attack import Attack
from course_lib.adversary.model_poisoning import SignFlip
from course_lib.aggregation.coordinates import CoordinateMedian
from course_lib.data import Dataset, NaturalClients, hold_out, load_by_client
from course_lib.data.cases import hospitals
from course_lib.learning import evaluation, sgd
from course_lib.models import ModelSpec
from course_lib.plans import Plan
from course_lib.privacy import membership
from course_lib.privacy.accounting import noise_for
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import SecureAggregation

Way = Literal[
    "DML", "FL", "FL, secure sum", "FL, fine-tuned", "FL, epsilon 3", "FL, attacked", "FL, median, attacked", "hybrid", "gossip", "alone"
]  # fmt: skip
# These are FL and nothing else as far as anybody knows beforehand: they have its rate.
AS_FL: tuple[Way, ...] = ("FL, secure sum", "FL, attacked")
# Not a case of its own: what it is compared with is another model on the same data.
COMPARISONS = ("driving, shallow model",)

EPSILON, CLIP = 3.0, 1.0  # privacy of single records: the promise, and the clipping norm
RATE = 0.1  # a record's chance to be in a private batch
BOUND = 8.0  # of a number in a secure sum
TURNED = 3.0  # an attacker sends its update turned round and so many times as long
TUNED_PASSES = 2  # that an owner adds on its own records, of the same number in all
WORKERS, EACH = 2, 16  # of a data centre, and the examples in a step of each
_TEST = 0.4  # share of the records
_RESERVED = 5  # one real record in so many is kept for tuning


@dataclass(frozen=True)
class Case:
    """One case. `metric`: what an owner's test is judged by. `records`: what one is called; `fields`: how many numbers each holds of its person.

    `real`: the records are real, so that other seeds split the same ones anew; otherwise each seed draws new ones.
    `owners`, `most`: take only so many owners, and records of each.
    """

    name: str
    data: str
    model: ModelSpec
    passes: int
    metric: Literal["accuracy", "pr_auc"] = "accuracy"
    owner: str = "owner"
    records: str = "records"
    fields: int = 1
    real: bool = False
    owners: int | None = None
    most: int | None = None
    batch: int = 10

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways that are measured. What takes longest is left out: attacks and private steps in the three slowest cases, and secure sums
        over 120 people, each of whom agrees on a key with each other."""
        if self.name in COMPARISONS:
            return "DML", "FL"
        found: tuple[Way, ...] = ("DML", "FL", "alone", "hybrid", "FL, fine-tuned", "gossip")
        if self.data != "ratings":
            found += ("FL, secure sum",)
        if self.data not in ("road_signs", "ratings", "keyboard"):
            found += ("FL, epsilon 3", "FL, attacked", "FL, median, attacked")
        return found


CASES = {
    case.name: case
    for case in (
        Case("payment fraud", "payments", models.mlp((32,)), 8, "pr_auc", "bank", "payments", 16),
        Case("forecasting", "markets", models.mlp((32,)), 8, owner="market", records="days", fields=15),
        Case("diagnosis", "hospitals", models.mlp((16,)), 20, owner="hospital", records="patients", fields=31, real=True),
        Case("heart disease", "heart_disease", models.mlp((16,)), 20, owner="hospital", records="patients", fields=14, real=True),
        Case("keyboard", "keyboard", models.causal(), 8, owner="keyboard", records="keys pressed", fields=17, real=True, owners=20, most=600),
        Case("voice", "voices", models.mlp((64,)), 15, owner="speaker", records="words spoken", fields=256),
        Case("IoT sensors", "sensors", models.mlp((64,)), 15, owner="wearer", records="windows of two seconds", fields=96),
        Case("recommendations", "ratings", models.taste(), 15, owner="person", records="ratings", fields=60),
        Case("driving", "road_signs", models.lenet(), 15, owner="car", records="pictures", fields=768),
        Case("driving, shallow model", "road_signs", models.mlp((64,)), 15, owner="car", records="pictures", fields=768),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What a way ended with. `modules`: each owner's model; `bytes_owner`: sent over one owner's link, in both directions together;
    `bytes_inside`: over that of one worker of a data centre; `bytes_across`: over that of one centre of several; `rounds`: how often
    the owners, or the centres, wait for each other. Epsilon is that of single records."""

    modules: Sequence[nn.Module]
    bytes_owner: float
    bytes_inside: float
    rounds: int
    epsilon: float | None = None
    bytes_across: float = 0.0


def deal(case: Case, seed: int, tuning: bool = False) -> NaturalClients:
    """Return the case's owners with their training and test records.

    Rates are tuned on records that no result is measured on: on those of other seeds where they are generated, on a fifth of
    the real ones, and on other people's keyboards.
    """
    if case.data == "keyboard":
        first = 20 if tuning else 0
        return _some(load_by_client("keyboard", seed=seed, test_fraction=_TEST), range(first, first + 20), case.most)
    if not case.real:
        return load_by_client(case.data, seed=seed, test_fraction=_TEST)
    return _without_reserve(_whole(case, seed), seed, tuning)


def _whole(case: Case, seed: int) -> dict[str, Dataset]:
    if case.data == "hospitals":
        return hospitals.hospitals(seed)
    found = load_by_client(case.data, seed=0)
    return {
        name: _joined(found.train.subset(own), found.test.subset(tests))
        for name, own, tests in zip(found.names, found.clients, found.local_tests, strict=True)
    }


def _without_reserve(whole: dict[str, Dataset], seed: int, tuning: bool) -> NaturalClients:
    parts = {}
    for name, own in whole.items():
        kept = _kept_for_tuning(own.x)
        train, test = hold_out(own.subset(~kept), _TEST, seed)
        parts[name] = (train, own.subset(kept) if tuning else test)
    return NaturalClients.of(parts)


def _kept_for_tuning(x: Tensor) -> Tensor:
    """Say of each record whether it is reserved: by what is in it, so that it is the same ones whoever holds them."""
    scattered = x.double() @ torch.sqrt(torch.arange(2, x.shape[1] + 2, dtype=torch.float64))
    return (1000 * scattered).frac().abs() < 1 / _RESERVED


def _some(found: NaturalClients, owners: Sequence[int], most: int | None) -> NaturalClients:
    return NaturalClients.of({
        found.names[at]: (found.train.subset(found.clients[at][:most]), found.test.subset(found.local_tests[at][:most]))
        for at in owners
    })  # fmt: skip


def _joined(a: Dataset, b: Dataset) -> Dataset:
    return Dataset(a.name, torch.cat([a.x, b.x]), torch.cat([a.y, b.y]), a.classes)


def plan_of(case: Case, way: Way, rate: float, found: NaturalClients, tuning: bool = False) -> Plan:
    """Return the plan by which a way of more than one owner trains. Who tunes a rate does not know of the attack to come."""
    if way in ("DML", "hybrid"):
        return plans.synchronous_sgd(case.passes * _steps_a_pass(way, found), EACH, rate)
    passes = case.passes - (TUNED_PASSES if way == "FL, fine-tuned" else 0)
    plan = plans.fedavg(passes, 1.0, 1, case.batch, rate)
    if way == "FL, secure sum":
        return plan.but(secure_aggregation=SecureAggregation(BOUND))
    if way in ("FL, attacked", "FL, median, attacked"):
        hostile = attackers(len(found))
        rule = CoordinateMedian(hostile) if way == "FL, median, attacked" else None
        attack = None if tuning else Attack(tuple(range(hostile)), model=SignFlip(TURNED))
        return plan.but(attack=attack, aggregation=rule)
    if way == "FL, epsilon 3":
        noise = noise_for(EPSILON, RATE, passes * round(1 / RATE), _delta(found))
        plan = plan.but(privacy=ExampleLevel(noise, CLIP, RATE))
    return plan


def _steps_a_pass(way: Way, found: NaturalClients) -> int:
    centres = silos(found) if way == "hybrid" else 1
    return sgd.steps_an_epoch(len(found.train), centres * WORKERS * EACH)


def graph(owners: int) -> topology.Graph:
    """Return who gossips with whom: four neighbours each, drawn at random once, or a ring of fewer than eight owners."""
    return topology.graphs.random_regular(owners, 4) if owners >= 8 else topology.graphs.ring(owners)


def silos(found: NaturalClients) -> int:
    """Return how many data centres a hybrid has: four, or two where there are fewer than eight owners."""
    return 4 if len(found) >= 8 else 2


def _delta(found: NaturalClients) -> float:
    """A tenth of one over all records, as a run's own guarantee has it."""
    return 0.1 / len(found.train)


def attackers(owners: int) -> int:
    """Return how many of the owners are hostile where any are: a fifth, and at least one."""
    return max(1, owners // 5)


def train(case: Case, way: Way, rate: float, seed: int, found: NaturalClients, tuning: bool = False) -> Trained:
    """Train one way. Raises rounds.DivergedError where it breaks, also where only the last weights are not finite."""
    trained = _trained(case, way, rate, seed, found, tuning)
    for owner, module in enumerate(trained.modules):
        if not all(parameter.isfinite().all() for parameter in module.parameters()):
            raise rounds.DivergedError(f"the model of owner {owner} is not finite at rate {rate:g}: take a smaller one")
    return trained


def _trained(case: Case, way: Way, rate: float, seed: int, found: NaturalClients, tuning: bool = False) -> Trained:
    if way == "alone":
        start = case.model.build(found.train.shape, len(found.train.classes), seed)
        return Trained(_each_on(found, start, case, rate, seed, case.passes), 0.0, 0.0, 0)
    plan, owners = plan_of(case, way, rate, found, tuning), len(found)
    if way == "hybrid":
        return _hybrid(case, plan, seed, found)
    if way == "gossip":
        ring = topology.gossip.fit(
            case.model,
            found.train,
            found.clients,
            plan,
            graph(owners),
            seed=seed,
            evaluate_every=plan.rounds,
        )
        return Trained(ring.models, ring.bytes_sent / owners, 0.0, plan.rounds)
    held = np.array_split(np.arange(len(found.train)), WORKERS) if way == "DML" else found.clients
    run = rounds.fit(case.model, found.train, held, plan, seed=seed, evaluate_every=plan.rounds)
    if way == "DML":
        return Trained([run.model] * owners, found.train.nbytes / owners, _without_data(run) / WORKERS, 1)
    modules: Sequence[nn.Module] = [run.model] * owners
    if way == "FL, fine-tuned":
        modules = _each_on(found, run.model, case, rate, seed + 1, TUNED_PASSES)
    epsilon = run.guarantee.epsilon if plan.privacy else None
    return Trained(modules, run.bytes_sent / owners, 0.0, plan.rounds, epsilon)


def _hybrid(case: Case, plan: Plan, seed: int, found: NaturalClients) -> Trained:
    centres = silos(found)
    # The halves of what each centre's owners bring: two workers a centre, numbered one centre after the other.
    halves = [
        half
        for silo in topology.hierarchical.even(len(found), centres)
        for half in np.array_split(np.concatenate([found.clients[owner] for owner in silo]), WORKERS)
    ]
    run = topology.hierarchical.fit(
        case.model, found.train, halves, plan, topology.hierarchical.even(len(halves), centres),
        every=plan.rounds // case.passes, seed=seed, evaluate_every=case.passes,
    )  # fmt: skip
    inside = (_without_data(run) - run.bytes_across) / len(halves)
    return Trained(
        [run.model] * len(found), found.train.nbytes / len(found), inside, case.passes, None, run.bytes_across / centres
    )


def _without_data(run: rounds.Run) -> float:
    """Return all bytes sent but for raw data: that has come from its owners before."""
    kinds = run.traffic["kind"]
    return float(run.traffic.loc[(kinds != "data") & (kinds != "evaluation"), "bytes"].sum())


def _each_on(
    found: NaturalClients, start: nn.Module, case: Case, rate: float, seed: int, passes: int
) -> list[nn.Module]:  # fmt: skip
    """Return one model an owner, trained from the same start on its own records alone."""
    modules = []
    for owner, own in enumerate(found.clients):
        model, shard = sgd.FlatModel(deepcopy(start)), found.train.subset(own)
        steps = passes * sgd.steps_an_epoch(len(shard), case.batch)
        sgd.local_update(model, shard.x, shard.y, rate, case.batch, 0, steps, sgd.batch_key(seed, owner))
        modules.append(model.module)
    return modules


def judge(case: Case, trained: Trained, found: NaturalClients) -> dict[str, float]:
    """Return of one run: score (the case's metric, mean over owners on their own tests), worst (the worst owner's), accuracy and
    macro_f1 (over all tests), and membership (AUC of telling training from test records by their loss, 0.5 is chance)."""
    classes = len(found.train.classes)
    own, outputs, fits, others = [], [], [], []
    for module, train_part, test_part in zip(trained.modules, found.clients, found.local_tests, strict=True):
        tests, members = found.test.subset(test_part), found.train.subset(train_part)
        output = evaluation.scores(module, tests.x)
        own.append(_metric(case, output, tests.y, classes))
        outputs.append(output)
        others.append(membership.losses(output, tests.y))
        fits.append(membership.losses(evaluation.scores(module, members.x), members.y))
    everything = evaluation.report_on(
        torch.cat(outputs), found.test.y[np.concatenate(found.local_tests)], classes
    )  # fmt: skip
    return {
        "score": float(np.mean(own)), "worst": float(np.min(own)), "accuracy": everything["accuracy"],
        "macro_f1": everything["macro_f1"], "membership": membership.auc(torch.cat(fits), torch.cat(others)).mean,
    }  # fmt: skip


def _metric(case: Case, output: Tensor, y: Tensor, classes: int) -> float:
    if case.metric == "accuracy":
        return (output.argmax(1) == y).double().mean().item()
    return evaluation.report_on(output, y, classes)["pr_auc"]
