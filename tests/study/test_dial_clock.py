"""The simulated clock of the dial, against sums by hand."""

import numpy as np
import pytest

from course_lib.federated.participation import Device
from course_lib.study.dial.clock import PROFILES, Course, Profile, seconds

# Ten steps a second, a megabyte a second up and two down, a tenth of a second one way.
SLOW = Profile("slow", Device("slow", speed=10, uplink=1e6, downlink=2e6), 0.1)


def of(exchange: str, **other: object) -> np.ndarray:
    settings: dict[str, object] = {"participants": 4, "multiplications": 50_000, "sent": 1e6, "received": 1e6, **other}
    return seconds(Course(np.array([20.0, 40.0]), exchange, **settings), SLOW)  # type: ignore[arg-type]


def test_one_machine_computes_and_waits_for_nobody() -> None:
    assert of("none") == pytest.approx([0.2, 0.6])
    assert of("none", multiplications=100_000) == pytest.approx([0.4, 1.2])


def test_pooled_data_is_sent_once_before_the_first_round_and_dealt_out_again() -> None:
    assert of("none", moved=3e6) == pytest.approx([0.1 + 3 + 0.2, 0.1 + 3 + 0.6])
    assert of("all-reduce", moved=3e6, dealt=4e6)[0] == pytest.approx(0.1 + 3 + 0.1 + 2 + 0.2 + 6 * 0.1 + 1)


def test_a_server_costs_a_download_an_upload_and_two_half_round_trips() -> None:
    assert of("server") == pytest.approx([0.2 + 1.7, 0.2 + 1.7 + 0.4 + 1.7])
    assert of("server", trips=4)[0] == pytest.approx(0.2 + 1.7 + 3 * 0.2)


def test_out_of_step_as_many_steps_are_made_in_that_time_as_there_are_participants() -> None:
    assert of("asynchronous")[0] == pytest.approx((0.2 + 1.7) / 4)


def test_a_ring_takes_its_turns_one_after_the_other() -> None:
    assert of("all-reduce")[0] == pytest.approx(0.2 + 6 * 0.1 + 1)


def test_neighbours_wait_for_one_message() -> None:
    assert of("neighbours")[0] == pytest.approx(0.2 + 0.1 + 1)


def test_silos_use_their_own_network_inside_and_the_slow_link_now_and_then() -> None:
    inside = PROFILES["datacentre"].around(2, 5e5)
    assert of("silos", members=2, inside=5e5, every=2) == pytest.approx(
        [0.2 + inside, 0.2 + inside + 0.4 + inside + 1.7]
    )


def test_the_three_networks_are_in_order_of_speed() -> None:
    fast, office, phones = (
        seconds(Course(np.array([200.0]), "server", 20, 50_000, 2e5, 2e5), own)[0] for own in PROFILES.values()
    )
    assert fast < office < phones
