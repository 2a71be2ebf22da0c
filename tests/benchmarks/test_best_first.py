"""The best settings by their worst seed, found with fewer runs than all."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from math import log2
from typing import Any

import pytest
from best_first import Search, Setting

RATES = Setting((0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6), first=(2, 5))
OTHER = Setting((0.001, 0.01, 0.1, 1.0), first=(1, 4))


def work_off(search: Search, accuracy: Callable[[tuple[float, ...], int], float]) -> int:
    """Run the search to its end, and return the number of runs."""
    runs = 0
    while wanted := search.wanted():
        for point in wanted:
            own = search.tried.setdefault(point, [])
            own.append(accuracy(point, len(own)))
            runs += 1
    return runs


def looked_up(table: Mapping[Any, list[float]], point: tuple[float, ...], seed: int) -> float:
    return table[point][seed]


def test_the_search_finds_what_trying_every_seed_would_find_with_fewer_runs() -> None:
    chance = random.Random(0)
    most = fewest = 0
    for _ in range(100):
        table = {
            (rate, other): [0.0 if chance.random() < 0.1 else chance.random() for _ in range(5)]
            for rate in RATES.ladder
            for other in OTHER.ladder
        }
        search = Search((RATES, OTHER), seeds=5)
        fewest += work_off(search, partial(looked_up, table))
        most += 5 * len(search.tried)
        assert {*search.first, *search.neighbours(search.leader)} <= search.tried.keys()
        assert len(search.tried[search.leader]) == 5
        assert min(table[search.leader]) == max(min(table[point]) for point in search.tried)
    assert fewest < most / 2


@pytest.mark.parametrize(
    ("best", "leader", "tried"),
    [
        (0.2, 0.2, [0.1, 0.2, 0.4]),
        (0.4, 0.4, [0.1, 0.2, 0.4, 0.8]),
        (0.1, 0.1, [0.05, 0.1, 0.2, 0.4]),
        (0.05, 0.05, [0.025, 0.05, 0.1, 0.2, 0.4]),
        (100, 1.6, [0.1, 0.2, 0.4, 0.8, 1.6]),
    ],
)
def test_the_grid_is_widened_until_the_best_has_both_neighbours_or_its_ladder_ends(
    best: float, leader: float, tried: list[float]
) -> None:
    search = Search((RATES,), seeds=3)
    work_off(search, lambda point, seed: 1 - abs(log2(point[0] / best)) / 10)
    assert search.leader == (leader,)
    assert sorted(rate for (rate,) in search.tried) == tried


def test_neighbours_are_one_step_away_in_one_setting() -> None:
    search = Search((RATES, OTHER), seeds=3)
    assert sorted(search.neighbours((0.2, 0.1))) == [(0.1, 0.1), (0.2, 0.01), (0.2, 1.0), (0.4, 0.1)]
    assert sorted(search.neighbours((0.025, 1.0))) == [(0.025, 0.1), (0.05, 1.0)]


def test_one_bad_seed_is_enough_to_lose() -> None:
    search = Search((RATES,), seeds=3)
    work_off(search, lambda point, seed: 0.0 if point == (0.4,) and seed == 2 else point[0])
    assert search.leader == (0.2,)
    assert search.tried == {(0.1,): [0.1], (0.2,): [0.2] * 3, (0.4,): [0.4, 0.4, 0.0]}


def test_of_equals_the_smallest_is_taken() -> None:
    search = Search((RATES, OTHER), seeds=3)
    work_off(search, lambda point, seed: 0.5)
    assert search.leader == (0.025, 0.001)
