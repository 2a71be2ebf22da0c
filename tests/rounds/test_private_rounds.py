"""Differential privacy in whole runs: neutral settings, noise, cohorts, the ledger and its budget."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.aggregation.robust import Krum
from course_lib.compression import Quantise
from course_lib.federated.clustering import IFCA
from course_lib.federated.participation import Devices
from course_lib.federated.personalisation import FedBN
from course_lib.federated.strategies import FedOpt, FedProx, QFedAvg, Scaffold
from course_lib.plans import Plan
from course_lib.privacy.accounting import spent
from course_lib.privacy.audit import sensitivity
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import Budget, SecureAggregation
from course_lib.privacy.user_level import Adaptive, UserLevel, cohort

MODEL = models.mlp((16,))
PLAN = plans.fedavg(rounds=4, participation=0.5, epochs=1, batch_size=None, learning_rate=0.1)
INFINITE = float("inf")
MASKED = SecureAggregation(bound=2.0, insecure_seed=7)


def fit(plan: Plan, workers: int = 1, clients: int = 10, **told: Any) -> rounds.Run:
    train, test = data.load("digits")
    dealt = data.partitions.iid(train.y[:1400], clients, seed=1)  # all of the same size
    return rounds.fit(MODEL, train, dealt, plan, test=test, seed=2, workers=workers, **told)


def theta(run: rounds.Run) -> torch.Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


def test_without_noise_and_clipping_full_batches_are_federated_averaging() -> None:
    open_ = ExampleLevel(noise_multiplier=0.0, clipping_norm=INFINITE, sample_rate=1.0)
    torch.testing.assert_close(theta(fit(PLAN.but(privacy=open_))), theta(fit(PLAN)), rtol=0, atol=1e-5)
    everybody = PLAN.but(participation=1.0)
    users = UserLevel(noise_multiplier=0.0, clipping_norm=INFINITE)
    torch.testing.assert_close(theta(fit(everybody.but(privacy=users))), theta(fit(everybody)), rtol=0, atol=1e-6)


PRIVATE: dict[str, dict[str, Any]] = {
    "examples": {"privacy": ExampleLevel(1.0, 1.0, 0.1)},
    "examples, FedProx": {"privacy": ExampleLevel(1.0, 1.0, 0.1), "strategy": FedProx()},
    "users": {"privacy": UserLevel(0.5, 1.0)},
    "users, bound that follows": {"privacy": UserLevel(0.5, 1.0, Adaptive(bit_noise=1.0)), "strategy": FedOpt("adam")},
    "users, noise by clients behind masks": {
        "privacy": UserLevel(0.5, 1.0, noise_by="clients"), "secure_aggregation": MASKED, "participation": 0.8, "required": 4,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("changes", PRIVATE.values(), ids=PRIVATE)
def test_private_runs_are_the_same_on_any_number_of_processes(changes: dict[str, Any]) -> None:
    plan = PLAN.but(**changes)
    one, three = fit(plan), fit(plan, 3)
    torch.testing.assert_close(theta(one), theta(three), rtol=0, atol=1e-5)
    assert not torch.equal(theta(one), theta(fit(PLAN)))


def test_the_noise_of_a_round_has_the_deviation_that_the_accountant_is_told() -> None:
    # A learning rate of almost nothing: what moves the weights is noise.
    plan = PLAN.but(rounds=1, learning_rate=1e-9, privacy=UserLevel(2.0, clipping_norm=0.5))
    start = theta(fit(plan.but(privacy=UserLevel(0.0, 0.5))))
    moved = theta(fit(plan)) - start
    assert float(moved.std()) == pytest.approx(2.0 * 0.5 / 5, rel=0.1)  # over five clients a round, on average
    together = plan.but(
        privacy=UserLevel(2.0, 0.5, noise_by="clients"), secure_aggregation=MASKED, participation=1.0, required=10
    )
    assert float((theta(fit(together)) - start).std()) == pytest.approx(2.0 * 0.5 / 10, rel=0.1)


def test_nobody_moves_the_model_further_than_the_bound_over_the_cohort() -> None:
    plan = PLAN.but(rounds=1, learning_rate=50.0, participation=1.0, privacy=UserLevel(0.0, clipping_norm=0.2))
    start = theta(fit(plan.but(learning_rate=1e-9)))
    assert float((theta(fit(plan)) - start).norm()) <= 0.2 + 1e-5


def test_cohorts_are_poisson_and_an_empty_one_is_a_round_of_noise() -> None:
    plan = PLAN.but(rounds=12, participation=0.1, privacy=UserLevel(1.0, 1.0), local_epochs=None, local_steps=1)
    run = fit(plan, clients=8)
    sizes = [len(cohort(range(8), 0.1, 2, number)) for number in range(12)]
    assert 0 in sizes and max(sizes) > 1
    sent = run.traffic[run.traffic["kind"] == "update"]
    assert [int((sent["round"] == number).sum()) for number in range(1, 13)] == sizes
    assert run.history["skipped"].sum() == 0
    empty = sizes.index(0) + 1
    upto = [theta(fit(plan.but(rounds=done), clients=8)) for done in (empty, empty - 1) if done]
    assert not torch.equal(upto[0], upto[-1]) or empty == 1


def test_epsilon_by_round_is_that_of_the_accountant_and_zero_nowhere_but_before_the_start() -> None:
    users = fit(PLAN.but(privacy=UserLevel(1.0, 1.0), budget=Budget(delta=1e-3)))
    assert users.privacy["epsilon"].tolist() == [spent(1.0, 0.5, done, 1e-3).epsilon for done in (1, 2, 3, 4)]
    assert "one user added or removed" in str(users.guarantee) and "the server" in str(users.guarantee)
    examples = fit(PLAN.but(privacy=ExampleLevel(1.0, 1.0, 0.1), participation=1.0))
    assert examples.privacy["steps"].tolist() == [10, 20, 30, 40]
    assert examples.guarantee.epsilon == spent(1.0, 0.1, 40, 0.1 / 1400).epsilon
    pooled = fit(plans.centralised(2, 10).but(privacy=ExampleLevel(1.0, 1.0, 0.1)))
    assert pooled.privacy["steps"].tolist() == [10, 20]
    with pytest.raises(ValueError, match="this run is not private"):
        _ = fit(PLAN).privacy


def test_a_budget_ends_the_run_before_the_round_that_would_exceed_it() -> None:
    limit = spent(1.0, 0.5, 3, 1e-3).epsilon
    for epsilon, done in ((limit, 3), (limit - 1e-6, 2), (1e6, 4)):
        run = fit(PLAN.but(privacy=UserLevel(1.0, 1.0), budget=Budget(epsilon, 1e-3)))
        assert (int(run.history["round"].iloc[-1]), run.guarantee.epsilon <= epsilon) == (done, True)
    with pytest.raises(ValueError, match=r"the first round alone takes epsilon to"):
        fit(PLAN.but(privacy=UserLevel(1.0, 1.0), budget=Budget(0.01, 1e-3)))


ONE_ROUND: dict[str, tuple[Plan, float]] = {
    # A client, or an example, is exchanged for the worst other: out it goes, and in comes another, so twice the bound.
    "users": (PLAN.but(privacy=UserLevel(1.0, 0.3), learning_rate=5.0, rounds=1, participation=1.0), 2 * 0.3 / 10),
    "users behind masks": (
        PLAN.but(
            privacy=UserLevel(1.0, 0.3, noise_by="clients"), learning_rate=5.0, rounds=1, participation=1.0, required=10,
            secure_aggregation=MASKED,
        ),
        2 * 0.3 / 10,
    ),
    "examples of pooled data": (
        plans.centralised(1, learning_rate=5.0).but(local_epochs=None, local_steps=1, privacy=ExampleLevel(1.0, 0.3, 1.0)),
        5.0 * 2 * 0.3 / 1400,
    ),
    "examples of a client": (
        PLAN.but(
            privacy=ExampleLevel(1.0, 0.3, 1.0), local_epochs=None, local_steps=1, learning_rate=5.0, rounds=1, participation=1.0
        ),
        5.0 * 2 * 0.3 / 1400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_ROUND)
def test_what_one_client_or_example_changes_in_a_run_is_what_the_noise_was_measured_for(case: str) -> None:
    plan, declared = ONE_ROUND[case]
    train, _ = data.load("digits")
    train = train.subset(range(1400))

    def release(one: data.Dataset) -> torch.Tensor:
        clients = data.partitions.iid(train.y, 10, seed=1)
        return theta(rounds.fit(MODEL, one, clients, plan, seed=2))

    own = data.partitions.iid(train.y, 10, seed=1)[3]
    changed = own[:1] if "examples" in case else own
    x, y = train.x.clone(), train.y.clone()
    x[changed], y[changed] = 5.0, 9 - y[changed]
    found = sensitivity(release, [(train, replace(train, x=x, y=y))], declared)
    assert 0.3 * declared < found.measured <= declared * 1.001


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"fleet": Devices(dropout=0.5)}, "its cohorts are drawn as the accountant assumes"),
        ({"aggregation": Krum(1)}, "its noise is measured for a sum"),
        ({"compression": Quantise()}, "after it is clipped"),
        ({"strategy": Scaffold()}, "sends more than an update"),
        ({"privacy": UserLevel(1.0, 1.0, noise_by="clients")}, "needs secure_aggregation"),
        ({"privacy": ExampleLevel(1.0, 1.0, 0.1), "strategy": QFedAvg()}, "something of its clients' losses"),
        ({"privacy": ExampleLevel(1.0, 1.0, 0.1), "strategy": IFCA(2)}, "something of its clients' losses"),
        ({"required": 2}, "a round counts whoever comes"),
        ({"privacy": None, "budget": Budget(1.0)}, r"needs privacy=\.\.\."),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PLAN.but(**{"privacy": UserLevel(1.0, 1.0), **changes})


def test_batch_norm_is_refused_before_a_process_starts() -> None:
    train, _ = data.load("digits")
    plan = PLAN.but(privacy=ExampleLevel(1.0, 1.0, 0.1), strategy=FedBN())
    with pytest.raises(ValueError, match="mixes the examples of a batch"):
        rounds.fit(models.normalised(8), train, data.partitions.iid(train.y, 10), plan, workers=2)
