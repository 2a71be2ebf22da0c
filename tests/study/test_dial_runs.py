"""What is noted of a run of the dial, against the run's own messages and sums by hand."""

from math import isnan

import numpy as np
import pytest
import torch

from course_lib import learning
from course_lib.rounds import Run
from course_lib.study.dial.runs import Job, fitted, link, measure, plan_of, worst_client
from course_lib.study.dial.stops import STOPS
from course_lib.study.dial.tasks import PARTICIPANTS, material, owners
from course_lib.topology.gossip import Leaderless

WEIGHTS = 50_890


def job(stop: str, most: int, **other: object) -> Job:
    settings: dict[str, object] = {
        "rate": 0.2,
        "knob": 0.5 if STOPS[stop].knobs else None,
        "seed": 0,
        "most": most,
        **other,
    }
    return Job("images", stop, **settings)  # type: ignore[arg-type]


def run_of(of: Job) -> Run:
    stop = STOPS[of.stop]
    return fitted(of, owners(material(of.task, of.tuning), stop.skew, stop.participants, of.seed)[0])


@pytest.mark.parametrize(
    "stop", ["one_machine", "ddp", "fedavg_1", "partial", "eight_bits", "secure", "asynchronous", "hybrid", "gossip"]
)
def test_bytes_are_those_that_the_messages_carry_through_participants_links(stop: str) -> None:
    run = run_of(job(stop, 2 if stop != "hybrid" else 40))
    sent = run.traffic[~run.traffic["kind"].isin(["evaluation", "control"])]
    ends = sum(sent[side].str.startswith(("client", "worker")).astype(int) for side in ("sender", "receiver"))
    if stop == "hybrid":  # a silo's own link to the cloud is one of its members' as well
        ends = ends + sent["across"].astype(int)
    assert link(run, PARTICIPANTS)[-1] == pytest.approx(float((ends * sent["bytes"]).sum()) / PARTICIPANTS)


def test_bytes_are_what_the_formulas_of_the_exercise_say() -> None:
    assert measure(job("fedavg_1", 2))["bytes_per_participant"] == 2 * 2 * 4 * WEIGHTS
    moved = 2 * 785 * 4000 / PARTICIPANTS  # a byte a pixel and one for the label, in and out again
    ring = 4 * (PARTICIPANTS - 1) / PARTICIPANTS * 4 * WEIGHTS
    assert measure(job("ddp", 3))["bytes_per_participant"] == pytest.approx(3 * ring + moved, rel=1e-4)


def test_what_is_noted_can_be_found_again_in_the_run() -> None:
    of = job("fedavg_1", 2)
    found, run, judge = measure(of), run_of(of), material("images", False).judge
    assert found["score"] == found["accuracy"] == round(run.accuracy, 5) == found["curve"][-1][1]
    assert found["examples"] == 2 * 4000 and found["epsilon"] is None
    tests = owners(material("images", False), "Dirichlet 1", PARTICIPANTS, 0)[1]
    own = [learning.accuracy(run.model, judge.subset(test)) for test in tests if len(test) >= 10]
    assert found["worst_client"] == worst_client(run, material("images", False), tests) == round(min(own), 4)
    assert [look[0] for look in found["curve"]] == [1, 2]
    assert found["seconds"]["datacentre"] < found["seconds"]["office"] < found["seconds"]["phones"]


def test_without_a_server_the_score_is_that_of_the_models_that_everybody_has() -> None:
    run, found = run_of(job("gossip", 2)), measure(job("gossip", 2))
    assert isinstance(run, Leaderless)
    judge = material("images", False).judge
    assert found["accuracy"] == pytest.approx(
        np.mean([learning.accuracy(model, judge) for model in run.models]), abs=1e-4
    )
    assert found["accuracy"] < run.accuracy, "the mean of all models, which nobody has, is better"


def test_a_run_that_breaks_is_counted_and_has_no_score() -> None:
    found = measure(job("fedavg_1", 2, rate=1e30))
    assert found["broken"] and isnan(found["score"])


def test_a_budget_that_pays_for_no_round_leaves_the_untrained_model() -> None:
    found = measure(job("ddp", 0))
    assert 0 < found["score"] < 0.3 and not found["broken"]


def test_silos_are_stopped_after_an_average_and_nowhere_else() -> None:
    assert [plan_of(job("hybrid", most)).rounds for most in (1, 20, 39, 45, 1000)] == [20, 20, 20, 40, 400]
    assert plan_of(job("ddp", 1000)).rounds == 400 and plan_of(job("ddp", 7)).rounds == 7


def test_rates_are_tuned_without_an_attacker_on_data_that_is_not_the_test_data() -> None:
    assert plan_of(job("attacked", 2)).attack is not None
    assert plan_of(job("defended", 2, tuning=True)).attack is None
    for task in ("images", "tabular"):
        tuned, judged = material(task, True).judge, material(task, False).judge
        rows = {bytes(row.numpy().tobytes()) for row in judged.x}
        again = sum(bytes(row.numpy().tobytes()) in rows for row in tuned.x)
        assert again <= len(tuned) // 100, "some images come twice in the package that carries them"


@pytest.mark.parametrize("skew", ["IID", "Dirichlet 1", "Dirichlet 0.1"])
def test_owners_hold_everything_once_and_are_tested_on_what_they_hold(skew: str) -> None:
    of = material("images", False)
    held, tests = owners(of, skew, PARTICIPANTS, 0)  # type: ignore[arg-type]
    assert sorted(np.concatenate(held)) == list(range(len(of.train)))
    assert sorted(np.concatenate(tests)) == list(range(len(of.judge)))
    largest = max(held, key=len)
    common = int(torch.as_tensor(of.by[largest]).bincount().argmax())
    share = float((of.judge_by[tests[[own is largest for own in held].index(True)]] == common).mean())
    assert share > (0.05 if skew == "IID" else 0.15)
