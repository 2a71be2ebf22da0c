"""Secure aggregation in whole runs: the same model as without it, and a server that sees noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.adversary.poisoning import Attack, SignFlip
from course_lib.aggregation.robust import Krum
from course_lib.compression import Quantise
from course_lib.federated.fleet import Attendance
from course_lib.federated.participation import Devices
from course_lib.federated.strategies import FedOpt, FedProx, Scaffold
from course_lib.plans import Plan
from course_lib.privacy.in_plans import SecureAggregation

MODEL = models.mlp((16,))
PLAN = plans.fedavg(rounds=3, participation=0.75, epochs=1, learning_rate=0.1)
MASKED = SecureAggregation(bound=2.0, insecure_seed=7)


def fit(plan: Plan, workers: int = 1, **told: Any) -> rounds.Run:
    train, test = data.load("digits")
    clients = data.partitions.quantity_skew(train.y, 8, alpha=2, seed=1)
    return rounds.fit(MODEL, train, clients, plan, test=test, seed=2, workers=workers, **told)


def theta(run: rounds.Run) -> torch.Tensor:
    return parameters_to_vector(run.model.parameters()).detach()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strategy": FedProx(0.1)},
        {"strategy": FedOpt("sgd", server_rate=0.5, beta1=0.9)},
        {"fleet": Devices(dropout=0.1)},
        {"attack": Attack((1, 2), model=SignFlip())},
    ],
    ids=["averaging", "FedProx", "server momentum", "dropouts", "attackers"],
)
def test_the_model_is_the_one_without_masks_to_the_rounding(changes: dict[str, Any]) -> None:
    plain, masked = fit(PLAN.but(**changes)), fit(PLAN.but(**changes, secure_aggregation=MASKED))
    torch.testing.assert_close(theta(masked), theta(plain), rtol=0, atol=1e-4)
    assert masked.history["clipped"].max() == 0
    assert "clipped" not in plain.history


@pytest.mark.slow
def test_it_is_the_same_to_the_bit_on_any_number_of_processes_and_with_other_keys() -> None:
    plan = PLAN.but(fleet=Devices(dropout=0.1), secure_aggregation=MASKED)
    one = fit(plan)
    for other in (fit(plan, 3), fit(plan.but(secure_aggregation=SecureAggregation(bound=2.0)))):
        assert torch.equal(theta(one), theta(other))
        assert one.history["bytes_up"].equals(other.history["bytes_up"])


def test_what_the_server_gets_of_a_client_looks_like_noise_and_costs_more_bytes() -> None:
    masked, plain = (
        fit(PLAN.but(rounds=1, secure_aggregation=by), keep_payloads=True) for by in (MASKED, None)
    )  # fmt: skip
    sent = masked.traffic.reset_index(drop=True)
    vectors = [masked.payloads[i] for i in sent.index[sent["kind"] == "masked vector"]]
    words = torch.cat(vectors).view(torch.uint8).long()
    counts = torch.bincount(words, minlength=256).double()
    expected = len(words) / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 255 + 6 * (2 * 255) ** 0.5
    assert len(vectors) == 6
    assert 1 < masked.history["bytes_up"].iloc[-1] / plain.history["bytes_up"].iloc[-1] < 1.5


def test_a_round_with_too_few_survivors_ends_without_a_sum_and_changes_nothing() -> None:
    lost = Devices(dropout=[0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"nothing was trained.* of \d needed"):
        fit(PLAN.but(participation=1.0, fleet=lost, secure_aggregation=MASKED))


@dataclass(frozen=True)
class LosesARound:
    """All eight clients are asked; in the second round only two of them stay."""

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        stay = range(2 if round_index == 1 else 8)
        return Attendance(tuple(range(8)), dict.fromkeys(stay, 1.0), {k: "dropped out" for k in range(len(stay), 8)})


@pytest.mark.parametrize("required", [1, 3])
def test_clients_forget_what_they_did_in_a_round_that_ended_without_a_sum(required: int) -> None:
    plan = PLAN.but(
        fleet=LosesARound(), secure_aggregation=MASKED, client_momentum=0.9, participation=1.0, required=required
    )
    one, three = fit(plan), fit(plan, 3)
    assert one.history["skipped"].tolist() == three.history["skipped"].tolist() == [0, 1, 0]
    assert torch.equal(theta(one), theta(three))
    remembered = fit(plan.but(fleet=None))
    assert not torch.equal(theta(one), theta(remembered))


def test_values_beyond_the_bound_are_cut_off_and_counted_and_never_wrap_round() -> None:
    tight = fit(PLAN.but(secure_aggregation=SecureAggregation(bound=1e-3, insecure_seed=1)))
    assert tight.history["clipped"].min() > 0.3
    assert float((theta(tight) - theta(fit(PLAN.but(rounds=1, learning_rate=1e-9)))).abs().max()) <= 3 * 1e-3 + 1e-6


def test_a_client_that_diverges_is_named_for_nobody_could_leave_it_out() -> None:
    with pytest.raises(rounds.DivergedError, match=r"client \d has a message with NaN or infinity .* behind a mask"):
        fit(PLAN.but(learning_rate=1e30, secure_aggregation=MASKED))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aggregation": Krum(1)}, "has to see single messages"),
        ({"compression": Quantise()}, "packed messages do not add up"),
        ({"faults": {0: lambda message, number: None}}, "nobody could tell"),
        ({"strategy": Scaffold()}, "reads single messages"),
    ],
)  # fmt: skip
def test_what_needs_single_messages_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PLAN.but(secure_aggregation=MASKED, **changes)
