"""The cases, trained every way: that each way is what it says, and that rates are tuned on other records than results are measured on."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, plans, rounds
from course_lib.data import NaturalClients
from course_lib.learning import evaluation
from course_lib.study import cases, ways
from course_lib.study.cases import CASES, Case

DIAGNOSIS = CASES["diagnosis"]


def weights(module: torch.nn.Module) -> torch.Tensor:
    return parameters_to_vector(module.parameters()).detach()


@pytest.fixture(scope="module")
def found() -> NaturalClients:
    return cases.deal(DIAGNOSIS, 0)


def rows(dataset: data.Dataset) -> set[tuple[float, ...]]:
    return {tuple(row) for row in dataset.x.flatten(1).tolist()}


def test_no_result_is_measured_on_a_record_that_a_rate_was_chosen_on() -> None:
    chosen_on = rows(cases.deal(DIAGNOSIS, 100, tuning=True).test)
    for seed in (0, 1):
        measured = cases.deal(DIAGNOSIS, seed)
        assert not chosen_on & (rows(measured.test) | rows(measured.train))
        assert not rows(measured.test) & rows(measured.train)
    assert rows(cases.deal(DIAGNOSIS, 101, tuning=True).test) == chosen_on  # whatever the seed
    assert 80 < len(chosen_on) < 150  # about a fifth of 569


@pytest.mark.slow
def test_other_people_type_while_rates_are_tuned() -> None:
    measured, tuning = (cases.deal(CASES["keyboard"], seed, seed > 0) for seed in (0, 100))
    assert not set(measured.names) & set(tuning.names) and len(measured) == len(tuning) == 20
    assert max(map(len, measured.clients)) == 600


@pytest.mark.slow
def test_dml_is_one_process_on_the_batches_of_both_workers(found: NaturalClients) -> None:
    short = Case("x", "hospitals", DIAGNOSIS.model, passes=2, real=True)
    plan = ways.plan_of(short, "DML", 0.1, found)
    trained = ways.train(short, "DML", 0.1, 3, found)
    halves = np.array_split(np.arange(len(found.train)), ways.WORKERS)
    run = rounds.fit(short.model, found.train, halves, plan, seed=3, workers=2)
    assert torch.equal(weights(run.model), weights(trained.modules[0]))
    assert plan.rounds == 2 * -(-len(found.train) // (ways.WORKERS * ways.EACH))
    assert trained.bytes_owner == found.train.nbytes / len(found)


def test_alone_is_each_owners_own_training_and_sends_nothing(found: NaturalClients) -> None:
    short = Case("x", "hospitals", DIAGNOSIS.model, passes=2, real=True)
    trained = ways.train(short, "alone", 0.1, 4, found)
    own = found.train.subset(found.clients[0])
    run = rounds.fit(short.model, own, [range(len(own))], plans.centralised(2, short.batch, 0.1), seed=4)
    assert torch.allclose(weights(run.model), weights(trained.modules[0]), atol=1e-6)
    assert len({float(weights(module).sum()) for module in trained.modules}) == len(found)
    assert trained.bytes_owner == trained.rounds == 0


def test_a_secure_sum_is_fl_and_an_attack_is_not(found: NaturalClients) -> None:
    short = Case("x", "hospitals", DIAGNOSIS.model, passes=3, real=True)
    plain, summed, hit = (ways.train(short, way, 0.1, 0, found) for way in ("FL", "FL, secure sum", "FL, attacked"))
    assert torch.allclose(weights(plain.modules[0]), weights(summed.modules[0]), atol=1e-5)
    assert summed.bytes_owner > plain.bytes_owner
    assert (weights(plain.modules[0]) - weights(hit.modules[0])).norm() > 0.1
    assert ways.attackers(5) == 1 and ways.attackers(20) == 4
    # Who tunes a rate does not know of the attack.
    unaware = ways.train(short, "FL, attacked", 0.1, 0, found, tuning=True)
    assert torch.equal(weights(plain.modules[0]), weights(unaware.modules[0]))


@pytest.mark.slow
def test_a_private_run_keeps_its_promise_and_a_hybrid_moves_records_to_its_centre_only(found: NaturalClients) -> None:
    short = Case("x", "hospitals", DIAGNOSIS.model, passes=2, real=True)
    assert ways.train(short, "FL, epsilon 3", 0.1, 0, found).epsilon == pytest.approx(3, abs=0.05)
    hybrid = ways.train(short, "hybrid", 0.1, 0, found)
    assert hybrid.bytes_owner == found.train.nbytes / len(found)
    size = 4 * len(weights(hybrid.modules[0]))
    assert hybrid.bytes_across == pytest.approx(2 * short.passes * size, rel=0.01)  # up and down, once a pass


def test_gossip_leaves_everybody_with_a_model_of_their_own(found: NaturalClients) -> None:
    trained = ways.train(Case("x", "hospitals", DIAGNOSIS.model, passes=2, real=True), "gossip", 0.1, 0, found)
    assert len({float(weights(module).sum()) for module in trained.modules}) == len(found)


def test_each_owner_is_judged_by_its_own_tests_with_its_own_model(found: NaturalClients) -> None:
    trained = ways.train(Case("x", "hospitals", DIAGNOSIS.model, passes=2, real=True), "alone", 0.1, 0, found)
    judged = ways.judge(DIAGNOSIS, trained, found)
    own = [
        evaluation.accuracy(module, found.test.subset(tests))
        for module, tests in zip(trained.modules, found.local_tests, strict=True)
    ]
    assert judged["score"] == pytest.approx(np.mean(own)) and judged["worst"] == min(own)
    rare = ways.judge(Case("x", "hospitals", DIAGNOSIS.model, 2, "pr_auc", real=True), trained, found)
    expected = [
        evaluation.report(module, found.test.subset(tests))["pr_auc"]
        for module, tests in zip(trained.modules, found.local_tests, strict=True)
    ]
    assert rare["score"] == pytest.approx(np.mean(expected)) != judged["score"]


def test_every_use_that_introductions_name_is_a_case() -> None:
    named = {
        "payment fraud",
        "forecasting",
        "diagnosis",
        "heart disease",
        "keyboard",
        "voice",
        "IoT sensors",
        "recommendations",
        "driving",
    }
    assert named == set(CASES) - set(cases.COMPARISONS)


@pytest.mark.parametrize("way", ["FL", "alone", "gossip"])
def test_a_rate_that_breaks_a_way_is_refused_rather_than_judged(way: cases.Way, found: NaturalClients) -> None:
    with pytest.raises(rounds.DivergedError):
        ways.train(Case("x", "hospitals", DIAGNOSIS.model, passes=3, real=True), way, 1e9, 0, found)
