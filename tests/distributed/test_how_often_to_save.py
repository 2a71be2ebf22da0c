"""When to save, against failures drawn at random and against the minimum found by trying."""

import numpy as np
import pytest

from course_lib.distributed import failures


def simulated(
    work: float, interval: float, save: float, between: float, restart: float, chance: np.random.Generator
) -> float:
    """Return how long the work takes with failures drawn at random, piece by piece."""
    now = done = 0.0
    while done < work:
        failure = chance.exponential(between)
        piece = min(interval, work - done) + save
        if failure >= piece:
            now, done = now + piece, done + interval
            continue
        now += failure
        while (failure := chance.exponential(between)) < restart:  # it may fail again while it restarts
            now += failure
        now += restart
    return now


@pytest.mark.parametrize(("interval", "save", "between", "restart"), [(10, 1, 50, 2), (3, 0.5, 20, 0), (40, 2, 30, 5)])
def test_the_expected_time_is_the_mean_of_many_runs(
    interval: float, save: float, between: float, restart: float
) -> None:
    chance = np.random.default_rng(7)
    runs = [simulated(120, interval, save, between, restart, chance) for _ in range(8000)]
    error = np.std(runs) / np.sqrt(len(runs))
    assert failures.expected_seconds(120, interval, save, between, restart) == pytest.approx(
        np.mean(runs), abs=4 * error
    )


def test_without_failures_only_saving_costs() -> None:
    assert failures.expected_seconds(100, 10, 1, 1e12) == pytest.approx(110)


@pytest.mark.parametrize("save", [0.01, 0.1, 1.0, 5.0])
def test_daly_finds_the_minimum_and_young_comes_near(save: float) -> None:
    intervals = np.geomspace(0.01, 1000, 20000)
    costs = [failures.expected_seconds(1, interval, save, 100.0) for interval in intervals]
    best = intervals[int(np.argmin(costs))]
    assert failures.daly_interval(save, 100.0) == pytest.approx(best, rel=0.01)
    young = failures.young_interval(save, 100.0)
    assert young == (2 * save * 100) ** 0.5
    assert failures.expected_seconds(1, young, save, 100.0) <= 1.01 * min(costs)


def test_where_saving_takes_longer_than_a_machine_lives_daly_says_how_long_that_is() -> None:
    assert failures.daly_interval(30, 10) == 10


@pytest.mark.parametrize("given", [(0, 1), (1, 0), (-1, 1), (1, float("inf")), (float("nan"), 1)])
def test_times_that_make_no_sense_are_refused(given: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be a finite number of seconds above 0"):
        failures.young_interval(*given)
    with pytest.raises(ValueError, match=r"restart=-1 must be"):
        failures.expected_seconds(1, 1, 1, 1, restart=-1)
