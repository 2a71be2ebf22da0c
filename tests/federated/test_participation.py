"""Who is asked, who answers, and how long a round takes on the clients' own devices."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import psutil
import pytest
import torch

from course_lib import cluster, data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.federated.participation import LAPTOP, OLD_PHONE, PHONE, Attendance, Device, Devices, inclusion
from course_lib.federated.strategies import FedNova, Scaffold
from course_lib.rounds import preparation

MODEL = models.logistic()
VALUES = 64 * 10 + 10
EVEN = Device("even", speed=10, uplink=100, downlink=200)


def attend(
    fleet: Devices, number: int = 0, wanted: int = 3, clients: int = 10, steps: int = 100, seed: int = 0
) -> Attendance:
    """A round in which the model has 400 bytes and a message 300: 5 s of talking for a client on EVEN."""
    return fleet.attendance(number, wanted, [steps] * clients, 400, 300, seed)


def shares(rounds: Iterable[Iterable[int]], clients: int = 10) -> np.ndarray:
    """In which share of the rounds each client occurs."""
    in_rounds = [set(one) for one in rounds]
    counts = Counter(client for one in in_rounds for client in one)
    return np.array([counts[client] for client in range(clients)]) / len(in_rounds)


def five_sigma(share: float | np.ndarray, rounds: int) -> np.ndarray:
    return 5 * np.sqrt(share * (1 - np.asarray(share)) / rounds) + 1e-12


def test_by_default_everyone_is_equally_likely_to_be_asked() -> None:
    asked = [attend(Devices(), number).asked for number in range(2000)]
    assert all(len(one) == 3 == len(set(one)) for one in asked)
    assert (np.abs(shares(asked) - 0.3) < five_sigma(0.3, 2000)).all()
    # Not in fixed groups: each of the 45 pairs meets in 3 x 2 / 90 of the rounds.
    pairs = Counter((a, b) for one in asked for a in one for b in one if a < b)
    assert len(pairs) == 45 and max(pairs.values()) < 2000 * 6 / 90 * 1.5


def test_important_clients_are_asked_in_proportion_and_those_of_no_importance_never() -> None:
    importance = np.array([0, 1, 1, 1, 1, 2, 2, 3, 4, 5])
    asked = [attend(Devices(importance=importance.tolist()), number, wanted=1).asked for number in range(4000)]
    share = importance / importance.sum()
    assert (np.abs(shares(asked) - share) <= five_sigma(share, 4000)).all()
    assert attend(Devices(importance=importance), wanted=10).asked == tuple(range(1, 10))  # type: ignore[arg-type]


def test_clients_are_asked_when_they_are_available() -> None:
    fleet = Devices(available=lambda client, number: client / 10 if number % 2 else 0.0)
    day, night = ([attend(fleet, number, wanted=10).asked for number in range(first, 4000, 2)] for first in (1, 0))
    share = np.arange(10) / 10
    assert (np.abs(shares(day) - share) <= five_sigma(share, 2000)).all()
    assert set(night) == {()}
    # Those who are there are asked in the place of those who are not.
    assert all(len(attend(Devices(available=lambda client, _: float(client > 4)), n).asked) == 3 for n in range(50))


def test_clients_drop_out_as_often_as_they_were_said_to() -> None:
    here = [attend(Devices(dropout=0.3), number, wanted=10) for number in range(2000)]
    assert (np.abs(shares(one.work for one in here) - 0.7) < five_sigma(0.7, 2000)).all()
    assert all(set(one.work) | set(one.absent) == set(one.asked) and set(one.work.values()) <= {1.0} for one in here)
    assert {reason for one in here for reason in one.absent.values()} == {"dropped out"}
    each = [number / 10 for number in range(10)]
    lost = shares(attend(Devices(dropout=each), number, wanted=10).absent for number in range(2000))
    assert (np.abs(lost - each) <= five_sigma(np.array(each), 2000)).all()


def test_a_client_that_would_be_late_sends_nothing_or_what_it_has_done() -> None:
    slow = Device("slow", speed=4, uplink=100, downlink=200)
    hopeless = Device("hopeless", speed=0.1, uplink=100, downlink=200)
    offline = Device("offline", speed=1e9, uplink=100, downlink=10)
    classes = [EVEN, slow, hopeless, offline]
    # 5 s of talking leave 10 s: 100 of the even, 40 of the slow, 1 of the hopeless device's steps.
    dropped = attend(Devices(classes, deadline=15), wanted=4, clients=4)
    assert dropped.work == {0: 1.0}
    assert dropped.absent == dict.fromkeys([1, 2, 3], "too slow") and dropped.seconds == 15
    accepted = attend(Devices(classes, deadline=15, partial_work="accept"), wanted=4, clients=4)
    assert accepted.work == {0: 1.0, 1: 0.4, 2: 0.01} and accepted.seconds == 15
    assert attend(Devices(classes, deadline=14.9, partial_work="accept"), wanted=4, clients=4).work == {
        0: 0.99, 1: 0.39,
    }  # fmt: skip
    instant = Device("instant", speed=float("inf"), uplink=1, downlink=1)
    assert attend(Devices([instant], deadline=15, partial_work="accept"), wanted=1, clients=1).work == {}


def test_over_selection_goes_on_with_the_first_that_answer() -> None:
    fast = [Device(f"number {speed}", speed, uplink=100, downlink=200) for speed in range(1, 11)]
    one = attend(Devices(fast, over_selection=2), wanted=5)
    assert one.asked == tuple(range(10)) and set(one.work) == {5, 6, 7, 8, 9}
    assert set(one.absent.values()) == {"not needed any more"} and set(one.absent) == {0, 1, 2, 3, 4}
    assert one.seconds == pytest.approx(5 + 100 / 6)
    with_loss = attend(Devices(fast, over_selection=2, dropout=[0] * 5 + [1] * 5), wanted=5)
    assert set(with_loss.work) == {0, 1, 2, 3, 4} and with_loss.seconds == 105


@pytest.mark.parametrize(("factor", "wanted", "asked"), [(1.3, 10, 13), (1.1, 70, 77), (1.01, 10, 11), (1.0, 7, 7)])
def test_over_selection_asks_so_many_times_as_many(factor: float, wanted: int, asked: int) -> None:
    assert len(attend(Devices(over_selection=factor), wanted=wanted, clients=90).asked) == asked


@pytest.mark.parametrize("fleet", [Devices(over_selection=2), Devices([EVEN] * 10, over_selection=2)])
def test_among_clients_that_are_equally_quick_over_selection_favours_none(fleet: Devices) -> None:
    heard = shares(attend(fleet, number).work for number in range(2000))
    assert (np.abs(heard - 0.3) < five_sigma(0.3, 2000)).all()


def test_a_device_that_cannot_hold_the_model_takes_no_part() -> None:
    tiny = Device("tiny", speed=1, uplink=100, downlink=200, memory=1199)
    enough = Device("enough", speed=10, uplink=100, downlink=200, memory=1200)
    one = attend(Devices([tiny, enough]), wanted=2, clients=2)
    assert one.work == {1: 1.0} and one.absent == {0: "too little memory"}


def test_a_round_takes_as_long_as_its_last_answer() -> None:
    assert attend(Devices([EVEN] * 10)).seconds == 400 / 200 + 300 / 100 + 100 / 10
    assert attend(Devices([EVEN] * 9 + [Device("slow", 1, 100, 200)]), wanted=10).seconds == 105
    assert np.isnan(attend(Devices()).seconds)
    assert LAPTOP.speed > PHONE.speed > OLD_PHONE.speed and LAPTOP.uplink > PHONE.uplink > OLD_PHONE.uplink


def test_the_same_seed_gives_the_same_rounds_and_another_seed_others() -> None:
    fleet = Devices([EVEN] * 10, dropout=0.4, over_selection=1.5, available=lambda client, number: 0.8)
    first, again, other = ([attend(fleet, number, seed=seed) for number in range(20)] for seed in (0, 0, 1))
    assert first == again and first != other
    assert len({one.asked for one in first}) > 15


def federated(fleet: Devices, **changes: object) -> plans.Plan:
    return plans.fedavg(rounds=6, participation=0.5, epochs=1, batch_size=20).but(fleet=fleet, **changes)


def test_simulated_seconds_and_absent_clients_add_up_in_the_history(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 10)
    classes = [LAPTOP, PHONE, OLD_PHONE, PHONE, LAPTOP] * 2
    plan = federated(Devices(classes, dropout=0.3, over_selection=1.4))
    run = rounds.fit(MODEL, train, clients, plan, test=test, seed=3, evaluate_every=2)
    sizes = [len(part) for part in clients]
    expected = preparation.attendance(plan, sizes, VALUES, 3)
    seconds = np.cumsum([one.seconds for one in expected])
    np.testing.assert_allclose(run.history["simulated_seconds"], seconds[1::2])
    absent = [len(one.absent) for one in expected]
    assert run.history["absent"].tolist() == [sum(absent[at : at + 2]) for at in (0, 2, 4)]
    slowest = max(
        4 * VALUES / classes[client].downlink + 4 * VALUES / classes[client].uplink
        + np.ceil(sizes[client] / 20) / classes[client].speed
        for client in expected[0].work
    )  # fmt: skip
    assert expected[0].seconds == pytest.approx(slowest)


def test_the_model_goes_to_everyone_who_is_asked_and_updates_come_from_those_who_answer(
    digits: tuple[Dataset, Dataset],
) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 10)
    plan = federated(Devices(dropout=0.5, over_selection=1.6))
    run = rounds.fit(MODEL, train, clients, plan)
    for number, one in enumerate(preparation.attendance(plan, [143] * 10, VALUES, 0), start=1):
        sent = run.traffic[run.traffic["round"] == number]
        assert list(sent.loc[sent["kind"] == "model", "receiver"]) == [f"client {client}" for client in one.asked]
        assert list(sent.loc[sent["kind"] == "update", "sender"]) == [f"client {client}" for client in sorted(one.work)]
        assert len(one.asked) == 8 and len(one.work) <= 5


def test_a_client_with_part_of_the_time_really_takes_fewer_steps(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 4)  # 18 steps of 20 in an epoch
    talking = 4 * VALUES / 1e6 + 4 * (VALUES + 1) / 1e6
    classes = [Device("even", speed, 1e6, 1e6) for speed in (100, 7, 2, 0.5)]
    fleet = Devices(classes, deadline=1 + talking, partial_work="accept")
    plan = federated(fleet, participation=1.0, strategy=FedNova())
    run = rounds.fit(MODEL, train, clients, plan, keep_payloads=True)
    sent = run.traffic[(run.traffic["kind"] == "update") & (run.traffic["round"] == 1)]
    # FedNova sends its number of steps behind its update.
    steps = {sent.loc[place, "sender"]: run.payloads[int(place)][-1].item() for place in sent.index}
    assert steps == {"client 0": 18, "client 1": 7, "client 2": 2}
    assert run.history["absent"].tolist() == [1] * 6
    assert run.history["simulated_seconds"].tolist() == pytest.approx([n * (1 + talking) for n in range(1, 7)])
    dropped = rounds.fit(
        MODEL, train, clients, plan.but(fleet=Devices(classes, deadline=1 + talking)), keep_payloads=True
    )
    assert dropped.history["absent"].tolist() == [3] * 6


def test_a_round_for_which_nobody_is_available_changes_nothing(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    plan = federated(Devices([EVEN] * 4, available=lambda client, number: float(number == 2)))
    run = rounds.fit(MODEL, train, data.partitions.iid(train.y, 4), plan, test=test)
    assert run.history["skipped"].tolist() == [1, 1, 0, 1, 1, 1]
    accuracy = run.history["accuracy"]
    assert accuracy[0] == accuracy[1] != accuracy[2] == accuracy[5]
    assert run.history["simulated_seconds"].nunique() == 2


def test_where_no_devices_are_described_simulated_time_is_unknown(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 4)
    for plan in (federated(Devices()), plans.fedavg(rounds=1), plans.local_sgd(rounds=1), plans.centralised(epochs=1)):
        assert rounds.fit(MODEL, train, clients, plan).history["simulated_seconds"].isna().all()


def test_a_slow_link_makes_a_round_longer_by_its_bytes_and_packing_makes_it_shorter(
    digits: tuple[Dataset, Dataset],
) -> None:
    from course_lib.compression import Quantise

    sizes, fleet = [100] * 4, Devices([Device("modem", 1e9, uplink=1000, downlink=1e9)] * 4)
    plain, packed = (
        preparation.attendance(federated(fleet, compression=way), sizes, VALUES, 0)[0].seconds
        for way in (None, Quantise())
    )
    assert plain == pytest.approx(4 * VALUES / 1000, rel=1e-3)
    assert packed == pytest.approx((VALUES + 4) / 1000, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dropout": 1.5}, "dropout=1.5 must lie between 0 and 1"),
        ({"dropout": [0.1, float("nan")]}, "dropout=nan"),
        ({"importance": [1, -1]}, r"importance=\[1, -1\]"),
        ({"importance": [0.0, 0.0]}, r"importance=\[0.0, 0.0\]"),
        ({"importance": []}, r"importance=\[\]"),
        ({"deadline": 0, "devices": [EVEN]}, "deadline=0 must be above 0"),
        ({"deadline": 3.0}, "deadline=3.0 .* needs devices"),
        ({"partial_work": "keep"}, "partial_work='keep' must be 'accept' or 'drop'"),
        ({"over_selection": 0.9}, "over_selection=0.9 must be at least 1"),
        ({"over_selection": float("inf")}, "over_selection=inf"),
    ],
)
def test_settings_that_make_no_sense_are_named_with_their_values(settings: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Devices(**settings)


@pytest.mark.parametrize("name", ["speed", "uplink", "downlink", "memory"])
def test_a_device_needs_figures_above_zero(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0 of device 'broken' must be above 0"):
        Device("broken", **{"speed": 1, "uplink": 1, "downlink": 1} | {name: 0})


@pytest.mark.parametrize(
    ("fleet", "named"),
    [
        (Devices([EVEN] * 3), "devices has 3 entries for 4 clients"),
        (Devices(importance=[1, 2]), "importance has 2 entries for 4 clients"),
        (Devices(dropout=[0.1] * 5), "dropout has 5 entries for 4 clients"),
        (Devices(dropout=[]), "dropout has 0 entries for 4 clients"),
        (Devices(available=lambda client, number: 1.5), r"available\(0, 0\) is 1.5"),
        (Devices(available=lambda client, number: float("nan")), r"available\(0, 0\) is nan"),
    ],
)
def test_a_fleet_of_other_clients_is_refused_before_any_process_starts(
    digits: tuple[Dataset, Dataset], fleet: Devices, named: str
) -> None:
    train, _ = digits
    cluster.shutdown()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(ValueError, match=named):
        rounds.fit(MODEL, train, data.partitions.iid(train.y, 4), federated(fleet), workers=2)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_fleet_with_everyone_in_every_round_is_the_run_without_one(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 4)
    plan = federated(Devices([EVEN] * 4), participation=1.0)
    with_fleet = rounds.fit(MODEL, train, clients, plan, test=test)
    without = rounds.fit(MODEL, train, clients, plan.but(fleet=None), test=test)
    pairs = zip(with_fleet.model.parameters(), without.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_chances_are_in_proportion_to_importance_and_at_most_one() -> None:
    assert inclusion([1, 1, 2], 2) == pytest.approx([0.5, 0.5, 1.0])
    chances = inclusion([1] * 50 + [1e5] * 50, 10)
    assert sum(chances) == pytest.approx(10) and max(chances) < 1
    assert inclusion([1, 1, 100], 2) == pytest.approx([0.5, 0.5, 1.0])


def test_clients_are_drawn_with_their_chances_and_count_the_inverse() -> None:
    importance = [1.0] * 5 + [4.0] * 5
    chances, fleet = inclusion(importance, 4), Devices(importance=importance, inverse_probability=True)
    asked, estimates = [0] * 10, []
    for number in range(2000):
        now = fleet.attendance(number, 4, [1] * 10, 8, 8, 0)
        assert len(now.asked) == 4
        for client in now.asked:
            asked[client] += 1
            assert now.counts[client] == pytest.approx(1 / chances[client])
        estimates.append(sum(client * count for client, count in now.counts.items()))
    assert [times / 2000 for times in asked] == pytest.approx(chances, abs=0.05)
    assert sum(estimates) / 2000 == pytest.approx(45, rel=0.05)


def test_a_mean_by_inverse_chance_counts_in_a_run_and_is_refused_where_it_cannot() -> None:
    train, _ = data.load("digits")
    clients = data.partitions.iid(train.y, 4)
    plan = plans.fedavg(rounds=2, participation=0.5, epochs=1)
    runs = [
        rounds.fit(
            models.logistic(), train, clients, plan.but(fleet=Devices(importance=[1, 1, 3, 3], inverse_probability=on))
        )
        for on in (True, False)
    ]
    assert all(weight.isfinite().all() for weight in runs[0].model.parameters())
    with pytest.raises(ValueError, match=r"Scaffold\(.*keeps a mean over all clients"):
        fleet = Devices(importance=[1, 1, 3, 3], inverse_probability=True)
        rounds.fit(models.logistic(), train, clients, plan.but(strategy=Scaffold(), fleet=fleet))
    with pytest.raises(ValueError, match="from its importance alone"):
        Devices(over_selection=1.5, inverse_probability=True)
