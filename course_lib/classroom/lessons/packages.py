"""What lesson 04 reads off its stored study: accuracy and bytes of every way of packing."""

from collections.abc import Mapping
from typing import Any


class Stored:
    """The stored study: a row for each part (a task) and name (a way of packing), with one accuracy a seed.

    The part "workers" is meant where none is given.
    """

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.rows = {(row["part"], row["name"]): row for row in study["rows"]}
        self.seeds = len(study["seeds"])

    def packed(self, part: str = "workers") -> list[str]:
        """Return the ways of a part, but for whole gradients."""
        return [name for of, name in self.rows if of == part and name != "32 bits"]

    def accuracy(self, name: str, part: str = "workers") -> list[float]:
        """Return the test accuracy, a share, of each seed."""
        return [value / 100 for value in self.rows[part, name]["accuracy"]]

    def by_step(self, name: str) -> dict[int, float]:
        """Return the mean accuracy (%) over seeds, by step."""
        return {int(step): float(value) for step, value in self.rows["workers", name]["curve"]}

    def rate(self, name: str) -> float:
        """Return the learning rate."""
        return float(self.rows["workers", name]["rate"])

    def bytes(self, name: str, part: str = "workers") -> float:
        """Return the bytes that a worker sends in a step, or a client in a round."""
        return float(self.rows[part, name]["bytes"])

    def fewer(self, name: str, part: str = "workers") -> float:
        """Return how many times fewer bytes than whole gradients that is."""
        return self.bytes("32 bits", part) / self.bytes(name, part)
