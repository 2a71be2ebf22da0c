"""The rate of the worst seed, on a grid that grows until the best is inside it."""

from collections.abc import Callable, Mapping, Sequence
from math import inf, nan

import pytest

from course_lib.study.tuning import tune

SEEDS = (100, 101, 102)


def measure(
    scores: Mapping[float, tuple[float, ...]], asked: list[float]
) -> Callable[[Sequence[tuple[float, int]]], list[float]]:
    def call(jobs: Sequence[tuple[float, int]]) -> list[float]:
        asked.extend(setting for setting, seed in jobs if seed == SEEDS[0])
        return [scores[setting][SEEDS.index(seed)] for setting, seed in jobs]

    return call


def test_the_worst_seed_decides_and_not_the_mean() -> None:
    scores = {0.1: (0.8, 0.8, 0.8), 0.2: (0.9, 0.9, 0.85), 0.4: (0.99, 0.99, 0.5)}
    found = tune(measure(scores, []), [0.1, 0.2, 0.4], SEEDS)
    assert (found.best, found.at_edge) == (0.2, False)
    assert found.tried == scores


@pytest.mark.parametrize("broken", [nan, inf, -inf])
def test_a_setting_that_breaks_on_one_seed_is_never_chosen(broken: float) -> None:
    scores = {0.1: (0.1, 0.1, 0.1), 0.2: (0.2, 0.2, 0.2), 0.4: (0.9, broken, 0.9)}
    assert tune(measure(scores, []), [0.1, 0.2, 0.4], SEEDS).best == 0.2
    with pytest.raises(ValueError, match="every setting broke"):
        tune(measure(dict.fromkeys(scores, (broken,) * 3), []), [0.1, 0.2, 0.4], SEEDS)


def test_the_grid_grows_by_its_ratio_where_the_best_is_at_its_end() -> None:
    asked: list[float] = []
    scores = {rate: (min(rate, 0.8 / rate),) * 3 for rate in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)}
    found = tune(measure(scores, asked), [0.1, 0.2, 0.4], SEEDS, widen=3)
    assert asked == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert (found.best, found.at_edge) == (0.8, False)
    asked.clear()
    falling = {rate: (-rate,) * 3 for rate in (0.025, 0.05, 0.1, 0.2, 0.4)}
    found = tune(measure(falling, asked), [0.1, 0.2, 0.4], SEEDS)
    assert asked == [0.1, 0.2, 0.4, 0.05, 0.025]
    assert (found.best, found.at_edge, list(found.tried)) == (0.025, True, [0.025, 0.05, 0.1, 0.2, 0.4])


@pytest.mark.parametrize(
    ("grid", "seeds", "message"),
    [
        ([0.1, 0.2], (1, 2), "tuning needs at least 3 seeds, got 2"),
        ([0.2, 0.1], SEEDS, "must increase by one ratio"),
        ([0.1, 0.2, 0.8], SEEDS, "must increase by one ratio"),
        ([0.1], SEEDS, "must increase by one ratio"),
    ],
)
def test_a_grid_or_seeds_that_break_the_rule_are_refused(
    grid: list[float], seeds: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tune(lambda jobs: [0.0] * len(jobs), grid, seeds)
