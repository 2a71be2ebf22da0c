"""Attackers and the rules that stand them, in whole runs."""

from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.adversary.poisoning import ALIE, IPM, Attack, Backdoor, LabelFlip, SignFlip, attack_success
from course_lib.aggregation.robust import (
    Bucketing,
    CentredClipping,
    CoordinateMedian,
    FLTrust,
    Krum,
    Mixed,
    NearestNeighbourMixing,
    NormBounding,
    TrimmedMean,
)  # fmt: skip
from course_lib.plans import Plan

MODEL = models.mlp((16,))
PLAN = plans.fedavg(rounds=5, participation=1.0, epochs=2, learning_rate=0.2)
ATTACKERS = (1, 6)


def fit(plan: Plan, workers: int = 1, **told: Any) -> rounds.Run:
    train, test = data.load("digits")
    clients = data.partitions.iid(train.y, 8, seed=1)
    return rounds.fit(MODEL, train, clients, plan, test=test, seed=2, workers=workers, **told)


def theta(run: rounds.Run) -> torch.Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


NEUTRAL: dict[str, dict[str, Any]] = {
    "no attacker": {"attack": Attack()},
    "attackers without an attack": {"attack": Attack(ATTACKERS)},
    "no label flipped": {"attack": Attack(ATTACKERS, data=LabelFlip(share=0))},
    "no momentum": {"client_momentum": 0.0},
}


@pytest.mark.parametrize("changes", NEUTRAL.values(), ids=NEUTRAL)
def test_neutral_settings_change_nothing_to_the_bit(changes: dict[str, Any]) -> None:
    assert torch.equal(theta(fit(PLAN.but(rounds=2))), theta(fit(PLAN.but(rounds=2, **changes))))


def test_a_rule_that_counts_on_no_attacker_is_the_mean_of_clients_that_count_alike() -> None:
    plan = PLAN.but(rounds=2, local_epochs=None, local_steps=3)  # full batches, so all clients count alike
    mean = theta(fit(plan))
    for rule in (TrimmedMean(0), NormBounding(0, bound=1e6)):
        torch.testing.assert_close(theta(fit(plan.but(aggregation=rule))), mean, rtol=0, atol=1e-6)


def test_flipped_signs_ruin_the_mean_and_rules_stand_them() -> None:
    attacked = PLAN.but(attack=Attack(ATTACKERS, model=SignFlip(scale=10.0)))
    honest = fit(PLAN).accuracy
    assert fit(attacked).accuracy < honest - 0.3
    for rule in (CoordinateMedian(2), Krum(2), TrimmedMean(2), CentredClipping(2)):
        assert fit(attacked.but(aggregation=rule)).accuracy > honest - 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"attack": Attack(ATTACKERS, model=ALIE()), "aggregation": Krum(2)},
        {"attack": Attack(ATTACKERS, model=IPM(), omniscient=True), "aggregation": CoordinateMedian(2)},
        {"attack": Attack(ATTACKERS, data=Backdoor(size=2), model=SignFlip()), "client_momentum": 0.9},
        {"aggregation": Mixed(NearestNeighbourMixing(2), TrimmedMean(2))},
        {"aggregation": Mixed(Bucketing(2), CoordinateMedian(1))},
    ],
    ids=["colluders", "omniscient", "data and momentum", "mixing", "bucketing"],
)
def test_hostile_runs_are_the_same_on_any_number_of_processes(changes: dict[str, Any]) -> None:
    plan = PLAN.but(participation=0.75, rounds=3, **changes)
    one, three = fit(plan), fit(plan, workers=3)
    torch.testing.assert_close(theta(one), theta(three), rtol=0, atol=1e-5)
    assert not torch.equal(theta(one), theta(fit(PLAN.but(participation=0.75, rounds=3))))


def test_the_server_trusts_those_who_agree_with_its_own_data() -> None:
    train, _ = data.load("digits")
    attacked = PLAN.but(attack=Attack((0, 1, 2, 3, 4), model=SignFlip(scale=5.0)), aggregation=FLTrust(5), rounds=8)
    root = train.subset(range(100))
    run = fit(attacked, root=root)
    assert run.accuracy > 0.75  # five of eight attack
    assert torch.equal(theta(run), theta(fit(attacked, root=root)))
    with pytest.raises(ValueError, match=r"pass root=\.\.\. to rounds.fit"):
        fit(attacked)
    with pytest.raises(ValueError, match="root=a data set"):
        fit(PLAN.but(aggregation=Krum(1)), root=root)


def test_a_back_door_opens_under_the_mean_and_clean_accuracy_does_not_show_it() -> None:
    _, test = data.load("digits")
    door = Backdoor(target=0, share=0.5, size=2)
    run = fit(PLAN.but(attack=Attack((1, 3, 5, 6), data=door), rounds=8))
    found, clean = attack_success(run.model, door, test), attack_success(fit(PLAN).model, door, test)
    assert found.share > 0.8
    assert clean.share < 0.3
    assert run.accuracy > 0.85


def test_a_round_with_too_few_messages_for_the_rule_is_skipped() -> None:
    silent = dict.fromkeys((0, 1), lambda message, number: None if number == 2 else message)
    skipped = fit(PLAN.but(rounds=2, aggregation=Krum(2), faults=silent), evaluate_every=1)
    assert skipped.history["skipped"].tolist() == [0, 1]  # 6 of 8 are left, and Krum(2) needs 7
    assert torch.equal(theta(skipped), theta(fit(PLAN.but(rounds=1, aggregation=Krum(2)))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attack": Attack((8,))}, "attack names client 8, but there are 8 clients"),
        ({"aggregation": Krum(3)}, r"needs at least 9 messages a round, but there are 8 clients: count on at most 2"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_a_process_starts(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(PLAN.but(**changes))
