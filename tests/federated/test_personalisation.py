"""A model for each client: what stays with it, what that saves, and whom it helps."""

from dataclasses import dataclass, replace
from math import isnan

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.classroom import plots
from course_lib.data import Dataset
from course_lib.federated.personalisation import Ditto, FedBN, FedPer, FineTune
from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.learning import evaluation, sgd
from course_lib.models import ModelSpec
from course_lib.plans import Plan
from course_lib.study import results
from tests.stretches import stretches

MODEL = models.mlp((12,))
PLAN = plans.fedavg(rounds=4, participation=1.0, epochs=1)


def weights(module: nn.Module) -> Tensor:
    return parameters_to_vector(module.parameters()).detach()


@pytest.fixture(scope="module")
def clients(digits: tuple[Dataset, Dataset]) -> list[np.ndarray]:
    return data.partitions.dirichlet(digits[0].y, 5, alpha=0.5)


SEEN: dict[int, Tensor] = {}


@dataclass(frozen=True)
class WatchedDitto(Ditto):
    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        own = super().personal(received, state, work)
        SEEN[len(SEEN)] = own.clone()
        return own


def trained_alone(digits: tuple[Dataset, Dataset], clients: list[np.ndarray], plan: Plan, client: int) -> Tensor:
    """Plain SGD of one client on its own batches, round after round."""
    train, _ = digits
    shard, module = train.subset(clients[client]), MODEL.build(train.shape, len(train.classes), 0)
    model, steps = sgd.FlatModel(module), sgd.steps_an_epoch(len(clients[client]), plan.batch_size)
    theta = model.theta.clone()
    for number in range(plan.rounds):
        model.theta.copy_(theta)
        key = sgd.batch_key(0, client)
        theta = theta + sgd.local_update(model, shard.x, shard.y, 0.1, plan.batch_size, number * steps, steps, key)
    return theta


def test_ditto_without_pull_is_every_client_for_itself(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    SEEN.clear()
    run = rounds.fit(MODEL, train, clients, PLAN.but(strategy=WatchedDitto(pull=0)))
    module = sgd.FlatModel(MODEL.build(train.shape, len(train.classes), 0))
    for client, accuracy in enumerate(run.client_accuracy):
        alone = trained_alone(digits, clients, PLAN, client)
        assert torch.equal(SEEN[client], alone)
        module.theta.copy_(alone)
        assert accuracy == evaluation.accuracy(module.module, train.subset(clients[client]))


@pytest.mark.slow
def test_the_harder_ditto_pulls_the_closer_a_client_stays_to_the_shared_model(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    distances = []
    for pull in (0.0, 0.1, 0.5):
        SEEN.clear()
        run = rounds.fit(MODEL, train, clients, PLAN.but(strategy=WatchedDitto(pull=pull)))
        distances.append(np.mean([(own - weights(run.model)).norm().item() for own in SEEN.values()]))
    assert distances[0] > 1.2 * distances[1] and distances[1] > 1.2 * distances[2]


def test_a_client_that_was_never_picked_uses_the_shared_model(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    SEEN.clear()
    run = rounds.fit(MODEL, train, clients, PLAN.but(rounds=1, participation=0.4, strategy=WatchedDitto()))
    assert sum(torch.equal(own, weights(run.model)) for own in SEEN.values()) == 3


@pytest.mark.slow
def test_fine_tuning_trains_on_from_the_shared_model(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    run = rounds.fit(MODEL, train, clients, PLAN.but(strategy=FineTune(epochs=3)))
    model = sgd.FlatModel(run.model)
    shared = model.theta.clone()
    for client, indices in enumerate(clients):
        shard = train.subset(indices)
        model.theta.copy_(shared)
        steps = sgd.steps_an_epoch(len(shard), 10)
        key = sgd.batch_key(0, client)
        sgd.local_update(model, shard.x, shard.y, 0.1, 10, PLAN.rounds * steps, 3 * steps, key)
        assert evaluation.accuracy(model.module, shard) == pytest.approx(run.client_accuracy[client])
    plain = rounds.fit(MODEL, train, clients, PLAN)
    assert run.client_accuracy.mean() > plain.client_accuracy.mean()


STATES: list[State] = []


class Watched:
    """Keeps what clients remember, for the test to look at; only in this process."""

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        message, renewed = super().client(received, state, work)  # type: ignore[misc]
        STATES.append(renewed)
        return message, renewed


@dataclass(frozen=True)
class WatchedFedPer(Watched, FedPer):
    pass


@dataclass(frozen=True)
class WatchedFedBN(Watched, FedBN):
    pass


BODY, HEAD = 64 * 12 + 12, 12 * 10 + 10
NORMALISING = 2 * 64 + 2 * 16


@pytest.mark.parametrize(
    ("model", "strategy", "kept"),
    [
        (MODEL, WatchedFedPer(), HEAD),
        (models.mlp((12, 11)), WatchedFedPer(layers=2), 12 * 11 + 11 + 11 * 10 + 10),
        (models.normalised(16), WatchedFedBN(), NORMALISING),
    ],
    ids=["FedPer", "FedPer 2", "FedBN"],
)
def test_personal_weights_are_in_no_message_and_cost_no_bytes(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], model: ModelSpec, strategy: FedPer | FedBN, kept: int
) -> None:
    train, test = digits
    STATES.clear()
    plan = PLAN.but(batch_size=None, strategy=strategy)
    run = rounds.fit(model, train, clients, plan, test=test, keep_payloads=True)
    d = weights(run.model).numel()
    exchanged = run.traffic[run.traffic["kind"].isin(["model", "update"])]
    assert len(exchanged) == 2 * 4 * 5 and set(exchanged["bytes"]) == {4 * (d - kept)}
    assert run.bytes_sent == 2 * 4 * 5 * 4 * (d - kept)
    assert len(run.payloads) >= len(exchanged) and {len(payload) for payload in run.payloads} == {d - kept}
    sent = set().union(*(stretches(payload) for payload in run.payloads))
    assert len(STATES) == 4 * 5
    for state in STATES:
        assert len(state["own"]) == kept
        secret = set().union(*(stretches(vector) for vector in state.values()))
        assert len(secret) > kept / 2 and not secret & sent
    # The same search finds them where they are sent.
    assert stretches(STATES[0]["own"]) <= stretches(torch.cat([run.payloads[0], STATES[0]["own"]]))


def test_a_kept_layer_never_changes_on_the_server(digits: tuple[Dataset, Dataset], clients: list[np.ndarray]) -> None:
    train, _ = digits
    run = rounds.fit(MODEL, train, clients, PLAN.but(strategy=FedPer()))
    start = weights(MODEL.build(train.shape, len(train.classes), 0))
    assert torch.equal(weights(run.model)[-HEAD:], start[-HEAD:])
    assert not torch.allclose(weights(run.model)[:BODY], start[:BODY], atol=1e-3)


def shifted(digits: tuple[Dataset, Dataset], parts: int) -> tuple[Dataset, list[np.ndarray], Dataset, list[np.ndarray]]:
    """The images of each client are darkened, brightened or turned into negatives in a way of its own."""
    result: list = []
    for dataset in digits:
        groups = np.array_split(np.random.default_rng(0).permutation(len(dataset)), parts)
        x = dataset.x.clone()
        for number, members in enumerate(groups):
            scale, offset = ((1, 0), (-1, 1), (4, 6), (-3, -4), (0.2, 3))[number % 5]
            x[members] = scale * x[members] + offset
        result += [replace(dataset, x=x), groups]
    return tuple(result)


@pytest.mark.slow
def test_fedbn_keeps_each_clients_statistics_with_the_client(digits: tuple[Dataset, Dataset]) -> None:
    train, clients, test, local_tests = shifted(digits, 5)
    STATES.clear()
    plan = PLAN.but(rounds=6, batch_size=20, strategy=WatchedFedBN())
    run = rounds.fit(models.normalised(16), train, clients, plan, test=test, local_tests=local_tests)
    for state, indices in zip(STATES[-5:], clients, strict=True):
        assert {"own", "1.running_mean", "1.running_var", "3.running_mean", "3.running_var"} == set(state)
        x = train.x[torch.from_numpy(indices)].flatten(1)
        torch.testing.assert_close(state["1.running_mean"], x.mean(0), rtol=0, atol=0.35 * float(x.std()) + 0.05)
    # The server's model has the statistics it began with, whoever trained last in its process, and is not tested.
    assert isnan(run.accuracy)
    assert torch.equal(run.model.get_buffer("1.running_var"), torch.ones(64))


def test_fedbn_is_the_only_one_that_takes_batch_norm(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, _ = digits
    for strategy in (None, FineTune(), Ditto(), FedPer()):
        with pytest.raises(ValueError, match=r"BatchNorm1d.* keep them with their client by FedBN"):
            rounds.fit(models.normalised(), train, clients, PLAN.but(strategy=strategy))


def clashing(dataset: Dataset) -> tuple[Dataset, list[np.ndarray]]:
    """Two halves of the clients call the same images by different names."""
    groups = np.array_split(np.random.default_rng(1).permutation(len(dataset)), 6)
    y = dataset.y.clone()
    for members in groups[3:]:
        y[members] = 9 - y[members]
    return replace(dataset, y=y), groups


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [FineTune(epochs=3), Ditto(pull=0.1), FedPer()], ids=lambda s: type(s).__name__)
def test_where_labels_clash_a_model_of_ones_own_beats_the_shared_one(
    digits: tuple[Dataset, Dataset], strategy: FineTune | Ditto | FedPer
) -> None:
    (train, clients), (test, local_tests) = map(clashing, digits)
    plan = PLAN.but(rounds=10)
    shared, own = (
        rounds.fit(MODEL, train, clients, plan.but(strategy=one), test=test, local_tests=local_tests).client_accuracy
        for one in (None, strategy)
    )
    assert own.mean() > shared.mean() + 0.15
    assert own.min() > shared.min()


@pytest.mark.slow
def test_where_inputs_are_shifted_fedbn_beats_the_shared_model(digits: tuple[Dataset, Dataset]) -> None:
    train, clients, test, local_tests = shifted(digits, 5)
    plan = PLAN.but(rounds=10)
    shared = rounds.fit(models.mlp((64,)), train, clients, plan, test=test, local_tests=local_tests)
    own = rounds.fit(
        models.normalised(64), train, clients, plan.but(batch_size=12, strategy=FedBN()), test=test,
        local_tests=local_tests,
    )  # fmt: skip
    assert own.client_accuracy.mean() > shared.client_accuracy.mean() + 0.02
    assert own.client_accuracy.mean() > 0.85


@pytest.mark.parametrize(
    ("model", "strategy", "named"),
    [
        (MODEL, FedPer(layers=2), "layers=2 must be at least 1 and leave one of the model's 2 layers to be shared"),
        (MODEL, FedPer(layers=0), "layers=0"),
        (models.logistic(), FedPer(), "layers=1 .* model's 1 layers"),
        (MODEL, FedBN(), "FedBN keeps 0 layers of Sequential with clients"),
    ],
)
def test_a_model_of_which_nothing_would_stay_or_nothing_be_shared_is_refused(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray], model: ModelSpec, strategy: FedPer | FedBN, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        rounds.fit(model, digits[0], clients, PLAN.but(strategy=strategy), workers=2)


def test_batches_of_one_which_batch_norm_cannot_normalise_are_refused_before_training(
    digits: tuple[Dataset, Dataset],
) -> None:
    train, _ = digits
    clients = [np.arange(40), np.arange(40, 81)]
    named = "client 1 holds 41 examples, and the last batch of an epoch is a single one"
    with pytest.raises(ValueError, match=named):
        rounds.fit(models.normalised(), train, clients, PLAN.but(strategy=FedBN()), workers=2)
    rounds.fit(models.normalised(), train, clients, PLAN.but(batch_size=7, strategy=FedBN()))


@pytest.mark.parametrize("pull", [-0.1, float("inf"), float("nan")])
def test_settings_that_make_no_sense_are_named(pull: float) -> None:
    with pytest.raises(ValueError, match=f"pull={pull} must be at least 0 and finite"):
        Ditto(pull=pull)
    with pytest.raises(ValueError, match="epochs=0 must be at least 1"):
        FineTune(epochs=0)


@pytest.mark.parametrize(
    ("strategy", "spec"), [(FedPer(), MODEL), (FedBN(), models.normalised(8))], ids=["FedPer", "FedBN"]
)
def test_a_server_without_a_whole_model_is_not_tested(
    digits: tuple[Dataset, Dataset], strategy: Strategy, spec: ModelSpec
) -> None:
    train, test = digits
    plan, clients = PLAN.but(strategy=strategy, rounds=2), np.split(np.arange(200), 4)
    run = rounds.fit(spec, train, clients, plan, test=test, validation=test)
    assert isnan(run.accuracy) and run.history[["accuracy", "loss", "validation_accuracy"]].isna().all(axis=None)
    assert np.isfinite(run.client_accuracy).all() and run.rounds_to(0.1) is None
    last, best = (parameters_to_vector(model.parameters()) for model in (run.model, run.best_model))
    assert torch.equal(last, best)
    with pytest.raises(ValueError, match=f"stop_at=0.5 goes by the server's model, of which {type(strategy).__name__}"):
        rounds.fit(spec, train, clients, plan, test=test, stop_at=0.5)
    stored = results.record(run, 1.0)
    assert isnan(stored["measures"]["accuracy"]) and isnan(stored["measures"]["best_accuracy"])
    study = results.Study({("kept", seed): stored for seed in range(2)})
    assert study.table().loc["kept", ["mean", "low", "high"]].isna().all()
    assert plots.describe_curves({"kept": [run, run]}) == plots.describe_curves(study)
    plots.curves({"kept": [run, run], "one": run})


def test_local_tests_decide_the_accuracy_of_a_client(
    digits: tuple[Dataset, Dataset], clients: list[np.ndarray]
) -> None:
    train, test = digits
    local_tests = np.array_split(np.arange(len(test)), 5)
    run = rounds.fit(MODEL, train, clients, PLAN, test=test, local_tests=local_tests)
    expected = [evaluation.accuracy(run.model, test.subset(indices)) for indices in local_tests]
    np.testing.assert_allclose(run.client_accuracy, expected)
    for wrong, named in ((local_tests[:4], "4 entries"), ([*local_tests[:4], np.array([len(test)])], "client 4")):
        with pytest.raises(ValueError, match=named):
            rounds.fit(MODEL, train, clients, PLAN, test=test, local_tests=wrong)
