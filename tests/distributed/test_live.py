"""A parameter server in real processes: what happened can be done again, to the bit."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from course_lib import cluster, data, models, plans, rounds
from course_lib.compression import TopK
from course_lib.data import Dataset
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.diloco import DiLoCo
from course_lib.federated.participation import Devices
from tests.rounds.test_rounds import weights
from tests.waiting import until

pytestmark = pytest.mark.slow

MODEL = models.mlp((12,))
PLAN = plans.asynchronous_sgd(40, 16)
Digits = tuple[Dataset, Dataset]
CASES: dict[str, plans.Plan] = {
    "one by one": PLAN,
    "buffered and bounded": plans.asynchronous_sgd(30, 16, buffer=2, bound=2),
    "bound 0": plans.asynchronous_sgd(10, 16, bound=0),
    "staleness-aware": PLAN.but(asynchronous=Asynchronous(exponent=1.0, shorten=True)),
    "momentum at the server": PLAN.but(strategy=DiLoCo(0.5, 0.5), local_steps=3, rounds=20),
    "federated, packed": plans.fedavg(9, 1.0, 1).but(asynchronous=Asynchronous(2, exponent=0.5), compression=TopK(0.2)),
}  # fmt: skip


def live(digits: Digits, plan: plans.Plan, **told) -> rounds.Run:
    train, test = digits
    return rounds.live(MODEL, train, data.partitions.iid(train.y, 3), plan, test=test, seed=3, **told)


@pytest.mark.parametrize("case", CASES)
def test_a_real_run_is_replayed_to_the_same_weights_to_the_bit(digits: Digits, case: str) -> None:
    train, test = digits
    run = live(digits, CASES[case], delays=(0, 0.002, 0.02))
    by = CASES[case].asynchronous
    assert by is not None
    plan = CASES[case].but(asynchronous=replace(by, order=run.order))
    again = rounds.fit(MODEL, train, data.partitions.iid(train.y, 3), plan, test=test, seed=3)
    assert torch.equal(weights(run), weights(again))
    assert run.arrivals.equals(again.arrivals) and run.accuracy == again.accuracy
    kinds = ["kind", "bytes", "sender", "receiver"]
    before, after = (one.traffic[one.traffic["round"] <= len(one.attendance)] for one in (run, again))
    assert sorted(before[kinds].to_numpy().tolist()) == sorted(after[kinds].to_numpy().tolist())
    if by.bound is not None:
        assert run.arrivals["staleness"].max() <= by.bound


def test_a_straggler_sends_seldom_and_late_and_nobody_waits_for_it(digits: Digits, tmp_path: Path) -> None:
    """It sends only when the others have made eight more gradients: a server that waited for it would wait for ever."""
    gradients, made = 90, tmp_path / "gradients of the others"
    made.touch()

    def quick(message: torch.Tensor, _: int) -> torch.Tensor:
        with made.open("ab") as file:
            file.write(b".")
        return message

    def straggle(message: torch.Tensor, number: int) -> torch.Tensor:
        enough = min(made.stat().st_size + 8, gradients - number + 1)  # with the latter the run is over
        until(lambda: made.stat().st_size >= enough)
        return message

    run = live(digits, PLAN.but(rounds=gradients, faults={0: quick, 1: quick, 2: straggle}))
    sent = run.arrivals.groupby("participant")["staleness"].agg(["size", "mean"])
    assert sent["size"][2] <= gradients / 8
    assert sent["mean"][2] > sent["mean"][[0, 1]].max()
    assert {"computing", "waiting"} <= set(run.timeline["activity"]) and run.timeline["worker"].nunique() == 4


def test_in_step_everybody_waits_for_the_delay_of_one(digits: Digits) -> None:
    run = live(digits, plans.asynchronous_sgd(10, 16, bound=0), delays=(0, 0, 0.05))
    assert run.history["seconds"].iloc[-1] >= 10 * 0.05


def test_a_message_with_nan_names_its_worker(digits: Digits) -> None:
    def nan(message: torch.Tensor, number: int) -> torch.Tensor:
        return message * float("nan") if number == 3 else message

    with pytest.raises(rounds.DivergedError, match="worker 1 sent a gradient with NaN or infinity"):
        live(digits, PLAN.but(faults={1: nan}))


def test_a_worker_that_dies_is_named(digits: Digits) -> None:
    def die(message: torch.Tensor, number: int) -> torch.Tensor:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return message

    with pytest.raises(cluster.WorkerError, match="rank 2 died"):
        live(digits, PLAN.but(faults={1: die}))


@pytest.mark.parametrize(
    ("plan", "told", "named"),
    [
        (plans.synchronous_sgd(), {}, "asynchronous=None"),
        (PLAN.but(fleet=Devices()), {}, "without a fleet"),
        (PLAN.but(asynchronous=Asynchronous(order=(0, 1))), {}, "without an order"),
        (PLAN.but(participation=0.5), {}, "participation=0.5"),
        (PLAN, {"delays": (0.0, 1.0)}, r"delays=\[0.0, 1.0\]"),
        (PLAN, {"delays": (0.0, 1.0, -1.0)}, "at least 0"),
    ],
)
def test_what_cannot_be_live_is_refused(digits: Digits, plan: plans.Plan, told: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        live(digits, plan, **told)
