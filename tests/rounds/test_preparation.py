"""What is settled before a run: who takes part when, with how much work, and which process hosts whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import plans
from course_lib.compression import Quantise
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.federated.participation import Devices
from course_lib.federated.personalisation import FedBN, FedPer
from course_lib.federated.strategies import Scaffold
from course_lib.rounds import checks, preparation

TRAIN = Dataset("made", torch.zeros(10, 2), torch.zeros(10, dtype=torch.int64), ("no", "yes"))
TEST = TRAIN.subset(range(4))


class Asked:
    """A fleet that notes what it was asked, and lets nobody answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        self.calls.append((round_index, cohort_size, list(steps), download, upload, seed))
        return Attendance((), {})


@pytest.mark.parametrize(("plan", "sizes"), [
    (plans.fedavg(), (3, 5, 6)),
    (plans.synchronous_sgd(), (5, 5, 4)),
    (plans.local_sgd(), (5, 5, 4)),
    (plans.centralised(), (14,)),
])  # fmt: skip
def test_pooled_examples_are_dealt_out_evenly(plan: plans.Plan, sizes: tuple[int, ...]) -> None:
    assert preparation.participant_sizes(plan, [3, 5, 6]) == sizes


@pytest.mark.parametrize(("share", "participants", "size"), [(0.1, 3, 1), (0.25, 7, 2), (0.5, 9, 4), (1.0, 5, 5)])
def test_a_cohort_is_the_share_of_the_clients_and_at_least_one(share: float, participants: int, size: int) -> None:
    drawn = preparation.cohorts(plans.fedavg(rounds=4, participation=share), participants, seed=0)
    assert [len(set(cohort)) for cohort in drawn] == [size] * 4
    assert all(set(cohort) <= set(range(participants)) for cohort in drawn)


def test_cohorts_differ_from_round_to_round_and_from_seed_to_seed() -> None:
    plan = plans.fedavg(rounds=6, participation=0.5)
    drawn = preparation.cohorts(plan, 20, seed=0)
    assert len(set(drawn)) == 6
    assert not set(drawn) & set(preparation.cohorts(plan, 20, seed=1))
    everybody = [now.work for now in preparation.attendance(plan.but(participation=1.0), [4, 4], 10, seed=0)]
    assert everybody == [{0: 1.0, 1: 1.0}] * 6


@pytest.mark.parametrize(("changes", "download", "upload"), [
    ({}, 4000, 4000),
    ({"strategy": Scaffold()}, 8000, 8000),
    ({"strategy": Scaffold(uplink="update")}, 8000, 4000),
    ({"compression": Quantise()}, 4000, Quantise().size(1000)),
])  # fmt: skip
def test_a_fleet_is_asked_with_the_steps_and_bytes_of_the_plan(
    changes: dict[str, Any], download: int, upload: int
) -> None:
    fleet = Asked()
    plan = plans.fedavg(rounds=2, participation=0.4, epochs=3, batch_size=10).but(fleet=fleet, **changes)
    preparation.attendance(plan, [5, 21, 30, 10], 1000, seed=7)
    assert fleet.calls == [(number, 2, [3, 9, 9, 3], download, upload, 7) for number in range(2)]
    fixed = plan.but(local_steps=6, local_epochs=None)
    assert [preparation.local_steps(fixed, examples) for examples in (5, 300)] == [6, 6]


def test_hosts_share_the_work_and_pooled_owners_take_turns() -> None:
    everybody = [Attendance((0, 1, 2, 3), dict.fromkeys(range(4), 1.0))]
    hosts = preparation.hosting(plans.fedavg(), [40, 10, 10, 10], everybody, workers=2)
    assert {client for client in range(4) if hosts[client] != hosts[0]} == {1, 2, 3}, "40 examples against 30"
    assert preparation.hosting(plans.local_sgd(), [9, 9, 9], everybody, workers=2) == (0, 1, 0)


def test_masks_say_what_is_held_and_repeated_examples_are_refused() -> None:
    [held] = checks.positions([torch.arange(10) % 4 == 1], 10, "clients")
    assert held.tolist() == [1, 5, 9] and held.dtype == np.int64
    for wrong, named in (([True] * 9, "mask of shape"), ([3, 1, 3], "twice"), ([[1, 2]], r"shape \(1, 2\)")):
        with pytest.raises(ValueError, match=named):
            checks.positions([np.array(wrong)], 10, "clients")


def check(**changed: Any) -> None:
    """Check sound input, of which something is changed."""
    sound: dict[str, Any] = {
        "train": TRAIN, "clients": [[0, 9], [4]], "test": TEST, "workers": 2, "evaluate_every": 1, "stop_at": 1.0,
        "local_tests": [[0], [3]],
    }  # fmt: skip
    checks.check(**sound | changed)


def test_input_at_the_bounds_is_sound() -> None:
    check()


@pytest.mark.parametrize(("changed", "named"), [
    ({"clients": [[0, 10], [4]]}, "client 0 holds examples 0 to 10"),
    ({"clients": [[0], [-1, 4]]}, "client 1 holds examples -1 to 4"),
    ({"clients": [[0], []]}, "client 1 holds no example"),
    ({"workers": 0}, "workers=0"),
    ({"workers": 3}, "workers=3"),
    ({"evaluate_every": 0}, "evaluate_every=0"),
    ({"stop_at": 0}, "stop_at=0"),
    ({"stop_at": 1.1}, r"stop_at=1\.1"),
    ({"test": None, "local_tests": None}, "stop_at=1.0 needs"),
    ({"local_tests": [[0], [4]]}, "from 0 to 3"),
    ({"local_tests": [[-1], [3]]}, "from 0 to 3"),
    ({"local_tests": [[0], []]}, "client 1 0 examples"),
    ({"local_tests": [[0], [1], [2]]}, "local_tests has 3 entries"),
    ({"local_tests": [[0]]}, "local_tests has 1 entries"),
])  # fmt: skip
def test_input_beyond_the_bounds_is_refused(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check(**changed)


class Counting(nn.Linear):
    """A layer with a buffer that every batch changes."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.get_buffer("seen").add_(len(x))
        return super().forward(x)


def test_plans_that_these_clients_cannot_carry_out_are_refused() -> None:
    def settled(plan: plans.Plan, module: nn.Module, sizes: Sequence[int], stop_at: float | None = None) -> None:
        checks.check_plan(plan, module, TRAIN, sizes, stop_at)

    plain, plan = nn.Linear(2, 2), plans.fedavg(batch_size=4)
    settled(plan.but(required=2, faults={1: lambda message, _: message}), plain, [4, 5], 0.9)
    for wrong, module, stop_at, named in [
        (plan.but(required=3), plain, None, "required=3"),
        (plan.but(faults={2: lambda message, _: message}), plain, None, "faults names client 2"),
        (plan.but(faults={-1: lambda message, _: message}), plain, None, "faults names client -1"),
        (plan, Counting(), None, "changes the buffer seen"),
        (plan.but(strategy=FedPer()), plain, 0.9, r"stop_at=0\.9 goes by the server's model"),
    ]:
        with pytest.raises(ValueError, match=named):
            settled(wrong, module, [4, 5], stop_at)


def test_strategies_that_do_not_go_with_how_clients_take_part_are_refused() -> None:
    whole = [Attendance((0, 1), {0: 1.0, 1: 1.0})]
    checks.check_attendance(Scaffold(uplink="update"), whole)
    with pytest.raises(ValueError, match="only part of them"):
        checks.check_attendance(Scaffold(uplink="update"), [Attendance((0, 1), {0: 1.0, 1: 0.5})])
    uneven = Devices(importance=[1.0, 3.0], inverse_probability=True).attendance(0, 1, [1, 1], 1, 1, 0)
    with pytest.raises(ValueError, match="without inverse_probability"):
        checks.check_attendance(Scaffold(), [uneven])


@pytest.mark.parametrize(("batch_size", "sizes", "named"), [
    (4, [8, 5], "client 1 holds 5 examples"), (1, [8, 6], "client 0 holds 8 examples"), (None, [8, 1], "client 1 holds 1 "),
])  # fmt: skip
def test_batch_norm_needs_two_examples_in_every_batch(batch_size: int | None, sizes: list[int], named: str) -> None:
    module, plan = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), plans.fedavg().but(strategy=FedBN())
    checks.check_plan(plan.but(batch_size=batch_size), nn.Linear(2, 2), TRAIN, sizes, None)
    with pytest.raises(ValueError, match=named):
        checks.check_plan(plan.but(batch_size=batch_size), module, TRAIN, sizes, None)
    checks.check_plan(plan.but(batch_size=3), module, TRAIN, [8, 6], None)


def test_another_default_precision_is_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ValueError, match=r"torch's default is torch\.float64"):
            checks.check_setting()
    finally:
        torch.set_default_dtype(torch.float32)
    checks.check_setting()
