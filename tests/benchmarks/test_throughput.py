"""The throughput benchmark measures what it says it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

import federated_throughput as benchmark
from peers import bare_loop
from peers.workload import Measurement, Workload, examples, partition

from course_lib import plans, rounds


def turn(**rates: float) -> dict[str, dict[str, float]]:
    """One turn's measurements, with the accuracy that training leads to."""
    names = {
        "one": benchmark.OURS_1, "two": benchmark.OURS_2, "bare": benchmark.BARE, "pfl": benchmark.PFL,
        "flower": benchmark.FLOWER,
    }  # fmt: skip
    return {names[key]: {"updates_per_second": rate, "accuracy": 0.9} for key, rate in rates.items()}


def test_the_rate_leaves_out_the_first_rounds_and_the_last() -> None:
    clock = Measurement(Workload(warm_up=2, timed=4, cohort=10))
    clock.started = 0.0
    for at in (100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 999.0):
        clock.tick(at)
    assert clock.summary()["updates_per_second"] == 10.0
    assert clock.summary()["start_up_seconds"] == 99.0


def test_a_missing_round_is_an_error() -> None:
    clock = Measurement(Workload(warm_up=1, timed=2))
    clock.tick()
    with pytest.raises(RuntimeError, match="1 rounds ended, not 4"):
        clock.summary()


def test_figures_are_medians_of_the_ratios_within_a_turn() -> None:
    turns = [
        turn(one=100, two=160, bare=80, pfl=40, flower=10),
        turn(one=50, two=90, bare=50, pfl=20, flower=5),  # everything slower: the ratios hardly move
        turn(one=100, two=300, bare=100, pfl=50, flower=10),
    ]
    assert benchmark.figures(turns) == {
        "over_flower": 18.0,
        "over_pfl": 4.5,
        "over_bare_loop_per_worker": 1.0,  # two workers: 1.0, 0.9 and 1.5 each; one worker: 1.25, 1.0 and 1.0
        "two_workers_over_one": 1.8,
    }


def test_a_contender_that_does_not_train_stops_the_benchmark() -> None:
    measured = turn(one=1, two=1, bare=1, pfl=1)
    benchmark.check_accuracies(measured)
    measured[benchmark.PFL]["accuracy"] = 0.1
    with pytest.raises(RuntimeError, match=r"pfl reached 10.0%, this course 90.0%"):
        benchmark.check_accuracies(measured)


def test_two_workers_must_reach_what_one_reaches_exactly() -> None:
    measured = turn(one=1, two=1)
    measured[benchmark.OURS_2]["accuracy"] += 1e-9
    with pytest.raises(RuntimeError, match="the same seed is the same run"):
        benchmark.check_accuracies(measured)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["2nn", "lenet"])
def test_the_bare_loop_takes_the_very_steps_of_a_client(model: str) -> None:
    workload = Workload(model=model)
    train, _, _ = examples(workload)
    plan = plans.fedavg(1, 1 / workload.clients, workload.epochs, workload.batch_size, workload.learning_rate)
    start = workload.new_model()
    run = rounds.fit(start, train, partition(workload), plan, seed=workload.seed)
    (client,) = {int(name.split()[1]) for name in run.traffic["receiver"] if name.startswith("client")}

    optimizer = torch.optim.SGD(start.parameters(), lr=workload.learning_rate)
    bare_loop.take_steps(start, optimizer, bare_loop.minibatches(workload, client, 0))
    for ours, bare in zip(run.model.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(ours, bare, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_figures_as_json() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "federated_throughput.py"), "--quick"],
        capture_output=True, text=True, check=False, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lenet, two_nn = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert lenet.pop("model") == "lenet"
    for figures in (lenet, two_nn):
        assert list(figures) == ["over_flower", "over_pfl", "over_bare_loop_per_worker", "two_workers_over_one"]
        assert figures["over_flower"] is None and figures["over_pfl"] is None
        assert figures["over_bare_loop_per_worker"] > 0 and figures["two_workers_over_one"] > 0
