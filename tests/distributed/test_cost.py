"""A bill adds up from what a run recorded, at the prices that are asked."""

from dataclasses import fields
from pathlib import Path

import pytest

from course_lib import data, models, plans, rounds
from course_lib.distributed import cost
from course_lib.distributed.cost import GB, Prices
from course_lib.plans import Plan

FREE = Prices(**{field.name: 0.0 for field in fields(Prices)})


def fit(plan: Plan, workers: int = 1) -> rounds.Run:
    train, test = data.load("digits")
    clients = data.partitions.iid(train.y, 4)
    return rounds.fit(models.logistic(), train, clients, plan, test=test, workers=workers)


@pytest.fixture(scope="module")
def federated() -> rounds.Run:
    return fit(plans.fedavg(rounds=4, participation=0.5, epochs=1))


@pytest.fixture(scope="module")
def synchronous() -> rounds.Run:
    return fit(plans.synchronous_sgd(6, 8))


@pytest.fixture(scope="module")
def alone() -> rounds.Run:
    return fit(plans.centralised(2))


def only(**prices: float) -> Prices:
    """Return a table in which everything else is free."""
    return Prices(**{**vars(FREE), **prices})


def test_every_price_has_a_source_and_is_a_number_that_makes_sense() -> None:
    assert {field.name for field in fields(Prices)} == set(cost.SOURCES)
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"gb_out=.* must be a finite number of at least 0"):
            Prices(gb_out=wrong)


def test_machines_are_paid_from_the_first_second_to_the_last(synchronous: rounds.Run, federated: rounds.Run) -> None:
    for run in (synchronous, federated):
        seconds = run.timeline["end"].max() - run.timeline["start"].min()
        found = cost.usage(run).bill(only(machine_hour=3600.0))
        assert found.machines == 1 and found.rent == pytest.approx(seconds)
        assert found.total == found.rent == pytest.approx(3600 * found.machine_hours)


@pytest.mark.slow
def test_each_worker_is_a_machine_and_clients_are_none() -> None:
    run = fit(plans.synchronous_sgd(6, 8), workers=2)
    assert cost.usage(run, seconds=1800).bill().machine_hours == 1.0  # two of them for half an hour
    assert (
        cost.usage(fit(plans.fedavg(rounds=2, participation=1.0), workers=2), seconds=1800).bill().machine_hours == 0.5
    )
    assert cost.usage(fit(plans.centralised(2), workers=2), seconds=1800).bill().machine_hours == 0.5


def test_every_byte_is_paid_where_it_goes(federated: rounds.Run, synchronous: rounds.Run, alone: rounds.Run) -> None:
    up, down = (int(federated.history[name].iloc[-1]) for name in ("bytes_up", "bytes_down"))
    assert cost.usage(federated).bill(only(gb_in=GB)).network == pytest.approx(up)
    assert cost.usage(federated).bill(only(gb_out=GB)).network == pytest.approx(down)
    assert cost.usage(federated).bill(only(gb_device=GB)).network == pytest.approx(up + down)
    assert cost.usage(federated).bill(only(gb_inside=GB)).network == 0
    assert cost.usage(federated).bill().gigabytes == pytest.approx((up + down) / GB)
    between = synchronous.history[["bytes_up", "bytes_down"]].iloc[-1].sum()
    moved = synchronous.traffic[synchronous.traffic["kind"] == "data"]
    to_owner = moved.loc[moved["receiver"] == "server", "bytes"].sum()
    dealt = moved.loc[moved["sender"] == "server", "bytes"].sum()
    assert cost.usage(synchronous).bill(only(gb_in=GB)).network == pytest.approx(to_owner)
    assert cost.usage(synchronous).bill(only(gb_device=GB)).network == pytest.approx(to_owner)
    assert cost.usage(synchronous).bill(only(gb_inside=GB)).network == pytest.approx(dealt + between)
    assert cost.usage(alone).bill(only(gb_inside=GB, gb_out=GB)).network == 0


def test_energy_is_that_of_busy_and_of_idle_processors(federated: rounds.Run) -> None:
    spans = federated.timeline
    busy = (spans["end"] - spans["start"])[spans["activity"] == "computing"].sum()
    up = spans["end"].max() - spans["start"].min()
    found = cost.usage(federated).bill(only(watts=10.0, idle_watts=1.0, kwh=1.0))
    assert found.kwh == pytest.approx((10 * busy + (up - busy)) / 3.6e6) and found.energy_from == "processor time"
    assert found.electricity == pytest.approx(10 * busy / 3.6e6)  # the owners' devices; the server's is in its rent
    measured = cost.usage(federated, joules=7.2e6).bill(only(watts=10.0))
    assert measured.energy_from == "RAPL" and measured.kwh == 2.0


def test_a_rented_machines_electricity_is_in_its_price(synchronous: rounds.Run) -> None:
    found = cost.usage(synchronous).bill(only(watts=10.0, kwh=1.0))
    assert found.kwh > 0 and found.electricity == found.total == 0


def test_a_bill_up_to_a_round_has_that_rounds_bytes_and_share_of_the_time(federated: rounds.Run) -> None:
    half, whole = (cost.usage(federated, rounds=number).bill(only(gb_in=GB, machine_hour=1.0)) for number in (2, 4))
    assert half.network == pytest.approx(federated.history["bytes_up"].iloc[1])
    seconds = federated.history["seconds"]
    assert half.machine_hours == pytest.approx(whole.machine_hours * seconds.iloc[1] / seconds.iloc[3])
    assert whole == cost.usage(federated).bill(only(gb_in=GB, machine_hour=1.0))
    with pytest.raises(ValueError, match=r"rounds=5 was not evaluated: take one of \[1, 2, 3, 4\]"):
        cost.usage(federated, rounds=5).bill()


def test_a_point_has_its_price_unless_none_was_bought(federated: rounds.Run) -> None:
    found = cost.usage(federated).bill(only(gb_out=GB))
    assert found.per_point(0.9, 0.1) == pytest.approx(found.total / 80)
    with pytest.raises(ValueError, match=r"accuracy=0\.1 is not above 0\.1"):
        found.per_point(0.1, 0.1)


def test_counters_of_energy_are_read_where_there_are_some(tmp_path: Path) -> None:
    assert cost.rapl_joules(tmp_path) is None
    for name, used in (("intel-rapl:0", 5_000_000), ("intel-rapl:1", 2_000_000), ("intel-rapl:0:0", 9_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{used}\n")
    assert cost.rapl_joules(tmp_path) == 7.0  # the parts of a processor are in its whole
