"""The settings with the highest worst accuracy over the tuning seeds, without running those that have lost already."""

from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A ladder of values for one setting, in increasing order, and the slice of it that is tried at first."""

    ladder: tuple[float | None, ...]
    first: tuple[int, int]


class Search:
    """The search for the best of several settings together. `tried` maps their values to the accuracies found, seed by seed.

    A point of the grid cannot become better than the worst that it has shown. So only the one that leads gets its next seed,
    until the leader has had all of them: the others would lose whatever their remaining seeds say. Then the grid is widened
    by the leader's neighbours on the ladders, until both neighbours in each setting have been tried and have lost.
    """

    def __init__(self, settings: tuple[Setting, ...], seeds: int) -> None:
        self.ladders, self.seeds = [setting.ladder for setting in settings], seeds
        self.first = list(product(*(setting.ladder[slice(*setting.first)] for setting in settings)))
        self.tried: dict[tuple[Any, ...], list[float]] = {}

    @property
    def leader(self) -> tuple[Any, ...]:
        """The point whose worst accuracy so far is the highest; of equals, the one with the smallest values."""
        return max(sorted(self.tried), key=lambda point: min(self.tried[point]))

    def wanted(self) -> list[tuple[Any, ...]]:
        """Return the points that need their next seed; none when the search is over."""
        if not self.tried:
            return self.first
        if len(self.tried[self.leader]) < self.seeds:
            return [self.leader]
        return [point for point in self.neighbours(self.leader) if point not in self.tried]

    def neighbours(self, point: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the points one step away from this one in one setting, as far as the ladders go."""
        found = []
        for at, (value, ladder) in enumerate(zip(point, self.ladders, strict=True)):
            place = ladder.index(value)
            steps = [other for other in (place - 1, place + 1) if 0 <= other < len(ladder)]
            found += [(*point[:at], ladder[other], *point[at + 1 :]) for other in steps]
        return found
