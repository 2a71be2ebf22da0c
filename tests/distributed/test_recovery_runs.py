"""A run that was stopped and goes on from a checkpoint is the undisturbed run, on however many processes it goes on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.compression import Quantise, TopK
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.recovery import Checkpoints
from course_lib.federated.clustering import IFCA
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Devices
from course_lib.federated.personalisation import Ditto, FedBN, FedPer, FineTune
from course_lib.federated.strategies import FedOpt, Scaffold
from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.plans import Plan

FEDAVG = plans.fedavg(rounds=6, participation=0.5, epochs=1)


class StoppedError(Exception):
    """Somebody pulls the plug."""


def fit(
    plan: Plan, workers: int = 1, checkpoints: Checkpoints | None = None, stop_after: int = 0, **told: Any
) -> rounds.Run:
    """Run a plan with eight clients; `stop_after`: the round after which the plug is pulled."""
    train, test = data.load("digits")
    clients = data.partitions.quantity_skew(train.y, 8, alpha=1, seed=2)
    told = {"model": models.mlp((12,)), "train": train, "test": test, "seed": 4, **told}

    def watch(done: int, _: int) -> None:
        if done == stop_after:
            raise StoppedError

    return rounds.fit(
        told.pop("model"), told.pop("train"), told.pop("clients", clients), plan, workers=workers, checkpoints=checkpoints,
        progress=watch, **told,
    )  # fmt: skip


def stopped(plan: Plan, workers: int, checkpoints: Checkpoints, stop_after: int, **told: Any) -> None:
    """Leave the folder as a run leaves it that is stopped in this round, as soon as the round is over and before it is saved."""
    if workers == 1:
        with pytest.raises(StoppedError):
            fit(plan, 1, checkpoints, stop_after, **told)
        return
    # Workers would be killed with it, and starting them takes seconds: let it end, and take away what it saved since.
    fit(plan, workers, replace(checkpoints, keep=1000), **told)
    for path in checkpoints.files():
        if int(path.stem.removeprefix("round-")) >= stop_after:
            path.unlink()


def assert_same(one: rounds.Run, other: rounds.Run) -> None:
    """Both runs end with the same weights to the bit, for every client too, and tell the same of how they got there."""
    for first, second in ((one.model, other.model), (one.best_model, other.best_model)):
        assert torch.equal(parameters_to_vector(first.parameters()), parameters_to_vector(second.parameters()))
    np.testing.assert_array_equal(one.client_accuracy, other.client_accuracy)
    columns = one.history.columns.drop(["seconds", "bytes_moved"])
    assert one.history[columns].equals(other.history[columns])
    kinds = ~one.traffic["kind"].isin(["data", "evaluation", "control"])
    messages = one.traffic.loc[kinds, ["round", "sender", "receiver", "kind", "bytes"]].to_numpy().tolist()
    again = other.traffic["kind"].isin(["checkpoint", "recovery", "data", "evaluation", "control"])
    found = other.traffic.loc[~again, ["round", "sender", "receiver", "kind", "bytes"]].to_numpy().tolist()
    assert sorted(messages) == sorted(found)


class Falling(torch.nn.Module):
    """A model whose dropout draws numbers in training."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def late_nan(message: Tensor, round_number: int) -> Tensor:
    return message * float("nan") if round_number in (2, 5) else message


CASES: dict[str, tuple[Plan, dict[str, Any]]] = {
    "one machine": (plans.centralised(6), {}),
    "synchronous SGD": (plans.synchronous_sgd(6, 8), {}),
    "local SGD": (plans.local_sgd(6, 5, 8), {}),
    "DiLoCo": (plans.diloco(6, 5, 8), {}),
    "FedSGD": (plans.fedsgd(6, 0.5), {}),
    "FedAvg": (FEDAVG, {}),
    "dropout": (FEDAVG, {"model": Falling()}),
    "SCAFFOLD": (FEDAVG.but(strategy=Scaffold()), {}),
    "FedAdam": (FEDAVG.but(strategy=FedOpt("adam")), {}),
    "fine-tuning": (FEDAVG.but(strategy=FineTune()), {}),
    "Ditto, top-k": (FEDAVG.but(strategy=Ditto(), compression=TopK(0.1)), {}),
    "quantised, feedback": (FEDAVG.but(compression=Quantise(feedback=True)), {}),
    "quantised at random": (FEDAVG.but(compression=Quantise(stochastic=True)), {}),
    "FedPer": (FEDAVG.but(strategy=FedPer()), {}),
    "FedBN": (FEDAVG.but(strategy=FedBN()), {"model": models.normalised(12)}),
    "IFCA": (FEDAVG.but(strategy=IFCA(2)), {}),
    "momentum at clients": (FEDAVG.but(client_momentum=0.9), {}),
    "unreliable": (
        FEDAVG.but(
            fleet=Devices([LAPTOP, PHONE, OLD_PHONE, OLD_PHONE] * 2, dropout=0.2, deadline=1.5, partial_work="accept"),
            required=2,
        ),
        {},
    ),
    "out of step": (
        FEDAVG.but(
            asynchronous=Asynchronous(2, exponent=0.5), fleet=Devices([LAPTOP, PHONE, OLD_PHONE, OLD_PHONE] * 2, variation=0.3),
            strategy=Ditto(), compression=TopK(0.1), rounds=8,
        ),
        {},
    ),
    "faults": (FEDAVG.but(faults={0: late_nan}, strategy=Ditto()), {}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*messages? held NaN")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_was_stopped_ends_as_the_undisturbed_one(case: str, tmp_path: Path) -> None:
    plan, told = CASES[case]
    checkpoints = Checkpoints(tmp_path, every=2)
    stopped(plan, 1, checkpoints, 5, **told)  # the work of round 5 is lost
    assert checkpoints.latest()["done"] == 4
    assert_same(fit(plan, **told), fit(plan, 1, checkpoints, **told))


def test_any_number_of_rounds_may_be_lost_and_the_plug_pulled_again(tmp_path: Path) -> None:
    plan, checkpoints = FEDAVG.but(strategy=Scaffold()), Checkpoints(tmp_path, every=3)
    for stop_after in (1, 2, 4, 3 + 1, 5):
        stopped(plan, 1, checkpoints, stop_after)
    assert_same(fit(plan), fit(plan, 1, checkpoints))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "before", "after"), [
    ("SCAFFOLD", 2, 4), ("SCAFFOLD", 4, 2), ("SCAFFOLD", 1, 3), ("Ditto, top-k", 2, 4), ("Ditto, top-k", 4, 2), ("FedBN", 2, 4),
    ("FedBN", 2, 1), ("synchronous SGD", 2, 4), ("synchronous SGD", 4, 2), ("local SGD", 1, 2), ("local SGD", 4, 2), ("DiLoCo", 2, 4), ("DiLoCo", 4, 2),
    ("one machine", 2, 4), ("one machine", 4, 2),
])  # fmt: skip
def test_it_goes_on_on_twice_and_on_half_as_many_processes(case: str, before: int, after: int, tmp_path: Path) -> None:
    plan, told = CASES[case]
    checkpoints = Checkpoints(tmp_path, every=2)
    stopped(plan, before, checkpoints, 5, **told)
    run = fit(plan, after, checkpoints, **told)
    assert_same(fit(plan, **told), run)
    assert run.workers == after and run.timeline["worker"].nunique() == max(before, after)


@dataclass(frozen=True)
class Counting(Strategy):
    """Federated averaging in which each client also reports how often it has seen each example of all: the server adds up."""

    examples: int = 0

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        seen = torch.zeros(self.examples)
        layer = work.model.module.get_submodule("1")  # the first layer after the images are flattened

        def count(_: Any, given: tuple[Tensor]) -> None:
            for image in given[0]:
                seen[int(image[-1])] += 1  # each example carries its number in its last pixel

        handle = layer.register_forward_pre_hook(count)
        delta = work.train(received)
        handle.remove()
        weight = 1 / work.examples  # the mean counts a client by its examples
        return torch.cat([delta, seen * weight]), {"rounds": state.get("rounds", torch.zeros(1)) + 1}

    def message_size(self, weights: int) -> int:
        return weights + self.examples

    def server_start(self, theta: Tensor) -> State:
        return {"seen": torch.zeros(self.examples)}

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        delta, seen = mean.split([len(theta), self.examples])
        return theta + delta, {"seen": server["seen"] + seen}


def test_no_example_is_lost_or_seen_twice(tmp_path: Path) -> None:
    train, _ = data.load("digits")
    train = train.subset(np.arange(96))
    train.x[..., -1, -1] = torch.arange(96.0)[:, None]
    clients = np.arange(96).reshape(8, 12)
    plan = plans.fedavg(rounds=7, participation=1.0, epochs=1, batch_size=5).but(
        strategy=Counting(96), learning_rate=1e-6
    )
    checkpoints = Checkpoints(tmp_path, every=2)
    told: dict[str, Any] = {"train": train, "clients": clients, "test": None}
    stopped(plan, 2, checkpoints, 5, **told)
    stopped(plan, 1, checkpoints, 6, **told)
    fit(plan, 3, checkpoints, **told)
    seen = checkpoints.latest()["server"][0]["seen"] * 96  # the mean over 96 examples, of what counts 1 / 12 x 12
    torch.testing.assert_close(seen, torch.full((96,), 7.0))  # once in each of seven rounds


def test_a_finished_run_is_there_again_without_a_round(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every=4)
    first = fit(FEDAVG, 1, checkpoints)
    rounds_seen: list[int] = []
    again = rounds.fit(
        models.mlp((12,)), data.load("digits")[0], data.partitions.quantity_skew(data.load("digits")[0].y, 8, alpha=1, seed=2),
        FEDAVG, test=data.load("digits")[1], seed=4, checkpoints=checkpoints, progress=lambda done, _: rounds_seen.append(done),
    )  # fmt: skip
    assert_same(first, again)
    assert rounds_seen == []


def test_a_run_that_stopped_early_is_not_taken_further(tmp_path: Path) -> None:
    plan, checkpoints = FEDAVG.but(rounds=30), Checkpoints(tmp_path, every=4)
    told: dict[str, Any] = {"stop_at": 0.7, "evaluate_every": 3}
    undisturbed = fit(plan, **told)
    ended = int(undisturbed.history["round"].iloc[-1])
    assert 4 < ended < 30
    stopped(plan, 1, checkpoints, ended - 1, **told)
    assert_same(undisturbed, fit(plan, 1, checkpoints, **told))
    assert_same(undisturbed, fit(plan, 2, checkpoints, **told))
    assert checkpoints.latest()["done"] == ended


@pytest.mark.parametrize(("changed", "differs"), [
    ({"seed": 5}, "seed, model are"), ({"model": models.mlp((12, 12))}, "model is"), ({"model": models.mlp((13,))}, "model is"),
    ({"plan": FEDAVG.but(learning_rate=0.2)}, r"plan\.learning_rate is"), ({"plan": FEDAVG.but(rounds=7)}, r"plan\.rounds is"),
    ({"plan": FEDAVG.but(strategy=Scaffold())}, r"plan\.strategy is"), ({"test": None}, "test is"),
    ({"clients": np.arange(800).reshape(8, 100)}, "clients is"), ({"evaluate_every": 2}, "evaluate_every is"),
])  # fmt: skip
def test_a_checkpoint_of_another_plan_seed_model_or_data_is_refused_by_name(
    changed: dict[str, Any], differs: str, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, every=2)
    stopped(FEDAVG, 1, checkpoints, 3)
    with pytest.raises(
        ValueError, match=rf"round-000002\.checkpoint is a checkpoint of another run: {differs} not the same"
    ):
        fit(changed.pop("plan", FEDAVG), 1, checkpoints, **changed)
    assert_same(fit(FEDAVG), fit(FEDAVG, 1, checkpoints))  # and is as good as before


def test_a_checkpoint_of_other_data_is_refused_by_name(tmp_path: Path) -> None:
    train, _ = data.load("digits")
    checkpoints = Checkpoints(tmp_path, every=2)
    stopped(FEDAVG, 1, checkpoints, 3)
    train.x[17, 0, 3, 3] += 1e-3  # one pixel of one image
    with pytest.raises(ValueError, match="of another run: train is not the same"):
        fit(FEDAVG, 1, checkpoints, train=train)


def test_a_damaged_checkpoint_costs_rounds_and_not_the_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every=2)
    stopped(FEDAVG, 1, checkpoints, 5)
    last = checkpoints.files()[0]
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match=r"round-000004\.checkpoint is damaged"):
        run = fit(FEDAVG, 1, checkpoints)
    assert_same(fit(FEDAVG), run)


def test_what_checkpoints_cannot_go_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_payloads=True keeps every message in memory"):
        fit(FEDAVG, 1, Checkpoints(tmp_path), keep_payloads=True)
    with pytest.raises(TypeError, match=r"must say how often: pass recovery\.Checkpoints\('backup', every=10\)"):
        fit(FEDAVG, 1, "backup")  # type: ignore[arg-type]


def test_what_saving_costs_is_on_record(tmp_path: Path) -> None:
    plan, checkpoints = FEDAVG.but(strategy=Scaffold()), Checkpoints(tmp_path, every=3)
    stopped(plan, 2, checkpoints, 5)
    run = fit(plan, 2, checkpoints)
    saved = run.traffic[run.traffic["kind"] == "checkpoint"]
    # The message that brought a checkpoint together is in the record of the next one: that of round 3 was forgotten.
    assert saved["round"].tolist() == [0, 6] and (saved["sender"] == "process 1").all() and saved["crossed"].all()
    handed_out = run.traffic[run.traffic["kind"] == "recovery"]
    assert handed_out["round"].tolist() == [0, 0] or handed_out["round"].tolist() == [0]
    assert (run.timeline["activity"] == "saving").sum() >= 2
    history, plain = run.history, fit(plan, 2).history
    assert history[["bytes_up", "bytes_down"]].equals(plain[["bytes_up", "bytes_down"]])
    assert history["seconds"].is_monotonic_increasing
