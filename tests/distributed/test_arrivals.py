"""Who is given which version of the weights, and whose message makes a step: the server's books, and orders of arrival."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import plans
from course_lib.adversary.attack import Attack
from course_lib.adversary.model_poisoning import SignFlip
from course_lib.aggregation.coordinates import CoordinateMedian, TrimmedMean
from course_lib.compression import TopK
from course_lib.distributed.asynchronous import Asynchronous, arrivals
from course_lib.distributed.asynchronous.ledger import Ledger
from course_lib.distributed.asynchronous.timelines import timeline
from course_lib.federated.fleet import Attendance
from course_lib.federated.participation import Device, Devices
from course_lib.federated.strategies import FedNova, Scaffold
from course_lib.privacy.in_plans import SecureAggregation
from course_lib.privacy.user_level import UserLevel
from course_lib.rounds import preparation

PLAN = plans.asynchronous_sgd(steps=40)


def of(plan: plans.Plan, participants: int = 4, seed: int = 0) -> tuple[Attendance, ...]:
    return preparation.attendance(plan, (10,) * participants, 5, seed)


def fleet(*speeds: float, **settings: Any) -> Devices:
    return Devices([Device(str(speed), speed, uplink=1e9, downlink=1e9) for speed in speeds], **settings)


def test_a_message_is_as_many_versions_late_as_steps_were_made_since_it_was_given_its_weights() -> None:
    ledger = Ledger(Asynchronous()).give([0, 1])
    assert not ledger.due
    ledger, given = ledger.arrive(0).step()
    assert (ledger.version, given) == (1, {0: 0})
    ledger, given = ledger.give([0]).arrive(0).step()
    assert (ledger.version, given) == (2, {0: 1})
    ledger, given = ledger.arrive(1).step()
    assert given == {1: 0} and ledger.idle([0, 1]) == [0, 1]


def test_a_buffer_is_a_step_when_it_is_full_and_its_owners_have_nothing_to_do_before() -> None:
    ledger = Ledger(Asynchronous(buffer=2)).give([0, 1, 2]).arrive(1)
    assert not ledger.due and ledger.idle(range(4)) == [3]
    ledger = ledger.arrive(0)
    assert ledger.due and ledger.step()[1] == {1: 0, 0: 0}


def test_the_server_waits_for_who_would_fall_behind_the_bound() -> None:
    ledger = Ledger(Asynchronous(bound=1)).give([0, 1])
    ledger, _ = ledger.arrive(0).step()  # worker 1 is one version behind now
    waiting = ledger.give([0]).arrive(0)
    assert waiting.full and not waiting.due
    assert waiting.lose(1).due  # nobody is waited for in vain
    ledger, used = waiting.arrive(1).step()
    assert used == {0: 1, 1: 0} and ledger.version == 2


@given(
    speeds=st.lists(st.sampled_from([1.0, 2.0, 3.0, 7.0]), min_size=2, max_size=6), buffer=st.integers(1, 3),
    bound=st.none() | st.integers(0, 4), share=st.sampled_from([0.3, 0.6, 1.0]), dropout=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 3),
)  # fmt: skip
def test_whatever_the_settings_each_piece_of_work_is_used_once_within_the_bound(
    speeds: list[float], buffer: int, bound: int | None, share: float, dropout: float, seed: int
) -> None:
    buffer = min(buffer, len(speeds))
    plan = PLAN.but(
        rounds=25, asynchronous=Asynchronous(buffer, bound), fleet=fleet(*speeds, dropout=dropout, variation=0.3),
        participation=share,
    )  # fmt: skip
    found = of(plan, len(speeds), seed)
    at_work = max(1, round(share * len(speeds)))
    asked: Counter[tuple[int, int]] = Counter()
    for number, now in enumerate(found):
        assert len(set(now.asked)) == len(now.asked)
        asked.update((client, number) for client in now.working)
        assert len(now.work) >= buffer and now.seconds >= 0
        for client, late in now.staleness(number).items():
            assert asked.pop((client, number - late)) == 1  # used once, and as late as it says
            assert bound is None or late <= bound
        assert len(asked) <= at_work
    assert not asked or set(asked.values()) == {1}


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    plan = PLAN.but(fleet=fleet(1, 2, 3, 4, variation=0.5))
    assert of(plan, seed=1) == of(plan, seed=1) != of(plan, seed=2)


def test_workers_that_are_equally_quick_are_n_minus_1_versions_late_on_average() -> None:
    late = [late for number, now in enumerate(of(PLAN.but(rounds=800))) for late in now.staleness(number).values()]
    assert sum(late[400:]) / 400 == pytest.approx(3, abs=0.05) and len(set(late[400:])) > 3
    buffered = of(PLAN.but(rounds=400, asynchronous=Asynchronous(buffer=2)))
    late = [late for number, now in enumerate(buffered) for late in now.staleness(number).values()]
    assert sum(late[200:]) / 600 == pytest.approx(1, abs=0.05)


def test_a_slow_worker_sends_less_and_is_later() -> None:
    found = of(PLAN.but(rounds=310, fleet=fleet(10, 10, 10, 1)))
    sent = Counter(client for now in found for client in now.work)
    assert sent == {0: 100, 1: 100, 2: 100, 3: 10}
    late = [now.staleness(number)[3] for number, now in enumerate(found) if 3 in now.work]
    assert all(late == pytest.approx(30, abs=3) for late in late)


def test_seconds_are_those_of_the_devices_and_bound_0_takes_as_long_as_rounds_in_step() -> None:
    plan = PLAN.but(rounds=12, fleet=fleet(10, 10, 1))
    assert sum(now.seconds for now in of(plan, 3)) == pytest.approx(
        0.6, abs=0.01
    )  # of 12 steps, each of two workers makes six
    in_step = [now.seconds for now in of(plan.but(asynchronous=None, exchange="server"), 3)]
    assert [now.seconds for now in of(plan.but(asynchronous=Asynchronous(bound=0)), 3)] == pytest.approx(in_step)
    varied = plan.but(fleet=fleet(10, 10, 1, variation=0.4))
    in_step = [now.seconds for now in of(varied.but(asynchronous=None), 3)]
    assert [now.seconds for now in of(varied.but(asynchronous=Asynchronous(bound=0)), 3)] == pytest.approx(in_step)
    assert all(math.isnan(now.seconds) for now in of(plan.but(fleet=None), 3))


def test_time_that_varies_has_the_mean_that_the_device_says() -> None:
    plan = plans.fedavg(rounds=4000, participation=1.0).but(local_epochs=None, local_steps=2)
    seconds = [now.seconds for now in of(plan.but(fleet=fleet(4.0, variation=0.5)), 1)]
    assert sum(seconds) / len(seconds) == pytest.approx(0.5, rel=0.04) and len(set(seconds)) == 4000


def test_whoever_drops_out_is_named_and_others_take_the_place() -> None:
    plan = PLAN.but(fleet=fleet(*[1.0] * 8, dropout=[0.9, *[0.0] * 7]), participation=0.5, rounds=60)
    found = of(plan, 8)
    assert any(now.absent.get(0) == "dropped out" for now in found)
    sent = Counter(client for now in found for client in now.work)
    assert sum(sent.values()) == 60 and sent[0] < min(sent[client] for client in range(1, 8))
    ended = [why for now in found for why in now.absent.values() if why == arrivals.STILL_AT_WORK]
    assert len(ended) == 3  # all that were at work but the last one, whose message ended the run


def test_a_recorded_order_comes_to_the_same_rounds() -> None:
    plan = PLAN.but(fleet=fleet(4, 3, 2, 1, variation=0.2), asynchronous=Asynchronous(buffer=2, bound=5))
    happened = of(plan)
    order = tuple(client for now in happened for client in now.work)
    again = of(plan.but(asynchronous=Asynchronous(buffer=2, bound=5, order=order)))
    for before, after in zip(happened, again, strict=True):
        assert (before.asked, before.work, before.given) == (after.asked, after.work, after.given)


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ((0, 0, 1, 1), r"order\[1\]=0 cannot be: .* only \[1, 2\] are at work"),
        ((0, 1), "2 arrivals, too few"),
        ((5,), r"order\[0\]=5"),
    ],
)
def test_an_order_that_cannot_have_been_is_refused(order: tuple[int, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        of(PLAN.but(rounds=2, asynchronous=Asynchronous(buffer=2, order=order)), 3)


def test_runs_that_could_not_end_are_refused() -> None:
    with pytest.raises(ValueError, match="all lost"):
        of(PLAN.but(fleet=Devices(dropout=1.0)))
    with pytest.raises(ValueError, match="nobody is available"):
        of(PLAN.but(fleet=Devices(available=lambda client, number: 0.0)))
    with pytest.raises(ValueError, match="OutOfStep"):

        class Own:
            def attendance(self, *_: object) -> Attendance:
                return Attendance((), {})

        of(PLAN.but(fleet=Own()))
    for settings in ({"deadline": 1.0}, {"over_selection": 1.5}, {"inverse_probability": True}):
        with pytest.raises(ValueError, match="the server waits for nobody"):
            of(PLAN.but(fleet=fleet(1, 1, 1, 1, **settings)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"buffer": 0}, "buffer=0"), ({"buffer": 1.5}, "buffer=1.5"), ({"bound": -1}, "bound=-1"), ({"exponent": -0.5}, "exponent=-0.5"),
        ({"exponent": float("nan")}, "exponent=nan"), ({"shorten": True}, "give an exponent"), ({"order": [1, 0]}, "a list"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Asynchronous(**settings)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"exchange": "all-reduce"}, "asynchronous=.* needs exchange='server'"),
        ({"secure_aggregation": SecureAggregation()}, "begin and end together"),
        ({"privacy": UserLevel(1.0, clipping_norm=1.0), "local_steps": 2}, "a cohort drawn for each round"),
        ({"strategy": Scaffold(uplink="update")}, "what the client was told"),
        ({"strategy": FedNova(), "asynchronous": Asynchronous(exponent=1.0, shorten=True)}, "send more than an update"),
        ({"aggregation": CoordinateMedian(), "asynchronous": Asynchronous(2, exponent=0.5)}, "leave exponent at 0"),
        ({"aggregation": TrimmedMean(1)}, "every step would be skipped"),
        ({"attack": Attack((0,), model=SignFlip())}, "at the same time"),
        ({"required": 2}, "every step would be skipped"),
        ({"participation": 0.5, "asynchronous": Asynchronous(order=(0, 1))}, "only where all take part"),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_reason(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PLAN.but(**changes)
    assert PLAN.but(compression=TopK(0.1)).name == "asynchronous SGD"


def shares(by: Asynchronous, local_steps: int, rounds: int) -> tuple[list[float], float]:
    """Each worker's share of the time in which it computes, and how long the run takes."""
    table = timeline(fleet(4, 4, 1), [local_steps] * 3, rounds, by)
    end = table["end"].max()
    busy = table[table["activity"] == "computing"].assign(seconds=lambda own: own["end"] - own["start"])
    total = table.assign(seconds=lambda own: own["end"] - own["start"]).groupby("worker")["seconds"].sum()
    assert total.tolist() == pytest.approx([end] * 3)  # nobody is ever in two states, or in none
    return (busy.groupby("worker")["seconds"].sum() / end).tolist(), end


def test_in_step_the_fast_wait_for_the_slow_and_out_of_step_nobody_waits() -> None:
    for local_steps, rounds in ((1, 8), (4, 2)):  # fewer exchanges save bytes, and no waiting
        busy, seconds = shares(Asynchronous(bound=0), local_steps, rounds)
        assert busy == pytest.approx([0.25, 0.25, 1.0]) and seconds == pytest.approx(8.0)
    busy, seconds = shares(Asynchronous(), 1, 36)
    assert busy == pytest.approx([1.0, 1.0, 1.0]) and seconds == pytest.approx(4.0, abs=0.26)
