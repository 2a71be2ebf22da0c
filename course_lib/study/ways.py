"""A case trained on pooled records (DML), on separate ones (FL), in between, and by each owner alone; and what each came to.

Equal work: in every way a record is gone over `passes` times. DML gathers all records and trains on two workers of 16 records each, which is
one process on 32 (lesson 02). FL is federated averaging with every owner in every round, one pass between two messages. Hybrid:
neighbouring owners pool their records in a data centre of two such workers, and the centres average once a pass. Gossip: no server,
each owner averages with its neighbours on a graph. Everybody is judged on each owner's test records, by that owner's model.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import plans, rounds, topology
from course_lib.adversary.attack import Attack
from course_lib.adversary.model_poisoning import SignFlip
from course_lib.aggregation.coordinates import CoordinateMedian
from course_lib.data import NaturalClients
from course_lib.learning import evaluation, sgd
from course_lib.plans import Plan
from course_lib.privacy import membership
from course_lib.privacy.accounting import noise_for
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import SecureAggregation
from course_lib.study.cases import Case, Way

EPSILON, CLIP = 3.0, 1.0  # privacy of single records: the promise, and the clipping norm
RATE = 0.1  # a record's chance to be in a private batch
BOUND = 8.0  # of a number in a secure sum
TURNED = 3.0  # an attacker sends its update turned round and so many times as long
TUNED_PASSES = 2  # that an owner adds on its own records, of the same number in all
WORKERS, EACH = 2, 16  # of a data centre, and the examples in a step of each


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
    macro_f1 (over all tests), and membership (AUC of telling training from test records by their loss, 0.5 is chance). Raises
    rounds.DivergedError for a model whose weights are so large that its scores are not finite."""
    classes = len(found.train.classes)
    own, outputs, fits, others = [], [], [], []
    for module, train_part, test_part in zip(trained.modules, found.clients, found.local_tests, strict=True):
        tests, members = found.test.subset(test_part), found.train.subset(train_part)
        output = evaluation.scores(module, tests.x)
        if not output.isfinite().all():
            raise rounds.DivergedError("a model's scores are not finite: it trained at too large a rate")
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
