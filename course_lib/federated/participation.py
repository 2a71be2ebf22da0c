"""Clients as devices: who is asked, who answers in time, and how long a round takes on their own hardware."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor
from typing import Literal

import torch

from course_lib.federated.fleet import Attendance
from course_lib.learning import keys

__all__ = ["LAPTOP", "OLD_PHONE", "PHONE", "Attendance", "Device", "Devices", "inclusion", "systematic"]


@dataclass(frozen=True)
class Device:
    """A class of devices. `speed`: SGD steps a second; `memory`: bytes; `uplink`, `downlink`: bytes a second.

    Raises ValueError for a figure that is not above 0.
    """

    name: str
    speed: float
    uplink: float
    downlink: float
    memory: float = float("inf")

    def __post_init__(self) -> None:
        for name in ("speed", "uplink", "downlink", "memory"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} of device {self.name!r} must be above 0")


# Orders of magnitude, for experiments: links of home Wi-Fi, of a good and of a poor mobile network.
LAPTOP = Device("laptop", speed=500, uplink=2.5e6, downlink=12.5e6, memory=8e9)
PHONE = Device("phone", speed=100, uplink=6e5, downlink=2.5e6, memory=2e9)
OLD_PHONE = Device("old phone", speed=20, uplink=1e5, downlink=5e5, memory=2.5e8)

# Weights, gradients and activations take about three times the model.
_MEMORY_FOR_A_MODEL = 3


def inclusion(importance: Sequence[float], wanted: int) -> list[float]:
    """Return each client's chance of being asked, `(n,)`: in proportion to importance, at most 1, `wanted` in all.

    What those at 1 cannot take is shared out among the others.
    """
    chances, sure = [1.0] * len(importance), 0
    order = sorted(range(len(importance)), key=lambda client: -importance[client])
    wanted = min(wanted, len(order))
    left = float(sum(importance))
    while sure < wanted and (wanted - sure) * importance[order[sure]] >= left:
        left -= importance[order[sure]]
        sure += 1
    for client in order[sure:]:
        chances[client] = (wanted - sure) * importance[client] / left
    return chances


def systematic(chances: Sequence[float], chance: torch.Generator) -> tuple[int, ...]:
    """Draw clients, each with its own chance: a comb with teeth 1 apart is laid over the chances, set end to end at random."""
    order = torch.randperm(len(chances), generator=chance).tolist()
    end = float(torch.rand((), generator=chance, dtype=torch.float64))
    drawn = []
    for client in order:
        start, end = end, end + chances[client]
        if floor(end + 1e-9) > floor(start + 1e-9):
            drawn.append(client)
    return tuple(sorted(drawn))


@dataclass(frozen=True)
class Devices:
    """Clients that differ, and on which one cannot rely; the same seed gives the same rounds.

    `devices`: one a client; without any, clients take no time.
    `importance`: how likely each client is to be asked, in any unit; by default all are equally likely (uniform sampling).
    `inverse_probability`: each client is then asked with a chance in proportion to its importance, at most 1, drawn systematically
    (Madow 1949), and its examples count 1 / chance in the mean: whoever is asked less often counts the more, and nobody's
    importance shifts the mean (Hajek's ratio: a bias of the order 1 / cohort remains). Without it, clients are drawn one after the other, which evens the chances out, and count by examples alone.
    `available(client, round_index)`: the chance, 0 to 1, that the client can be asked in that round; by default it always can.
    `dropout`: the chance that an asked client never answers, one for all or one each.
    `deadline`: seconds after which the server stops waiting. `partial_work`: whether a client that would be late sends what it
    has done by then ("accept"), or nothing ("drop").
    `over_selection`: how many times as many clients are asked as are wanted; the server goes on with the first that answer.
    `variation`: how much a client's computing time varies from round to round, as the standard deviation of its logarithm; the mean
    stays what `speed` says.
    Raises ValueError, naming the value, for settings that make no sense.
    """

    devices: Sequence[Device] = ()
    importance: Sequence[float] | None = None
    available: Callable[[int, int], float] | None = None
    dropout: float | Sequence[float] = 0.0
    deadline: float | None = None
    partial_work: Literal["accept", "drop"] = "drop"
    over_selection: float = 1.0
    inverse_probability: bool = False
    variation: float = 0.0

    def __post_init__(self) -> None:
        chances = [self.dropout] if isinstance(self.dropout, int | float) else list(self.dropout)
        for chance in chances:
            if not 0 <= chance <= 1:
                raise ValueError(f"dropout={chance} must lie between 0 and 1: 0.1 loses one answer in ten")
        importance = None if self.importance is None else list(self.importance)
        if importance is not None and not (importance and min(importance) >= 0 < sum(importance) < float("inf")):
            raise ValueError(f"importance={importance} must be finite, not below 0, and not all 0")
        if self.deadline is not None and not (self.deadline > 0 and self.devices):
            raise ValueError(f"deadline={self.deadline} must be above 0 seconds, and needs devices, which take time")
        if self.partial_work not in ("accept", "drop"):
            raise ValueError(f"partial_work={self.partial_work!r} must be 'accept' or 'drop'")
        if self.inverse_probability and (
            self.available is not None or self.over_selection > 1 or 0 in (importance or ())
        ):
            raise ValueError(
                "inverse_probability=True knows how likely a client is to be asked from its importance alone: give each one above 0, and "
                "leave out available and over_selection"
            )
        if not (0 <= self.variation < float("inf") and (self.devices or not self.variation)):
            raise ValueError(
                f"variation={self.variation} must be at least 0 and finite, and needs devices, which take time"
            )
        if not 1 <= self.over_selection < float("inf"):
            raise ValueError(
                f"over_selection={self.over_selection} must be at least 1: 1.3 asks 13 clients where 10 are wanted"
            )

    def attendance(
        self, round_index: int, cohort_size: int, steps: Sequence[int], download: int, upload: int, seed: int
    ) -> Attendance:
        """Return who takes part in a round; see `course_lib.federated.fleet.Fleet`. Raises ValueError for settings that are not one a client."""
        self._check_lengths(len(steps))
        chance = keys.generator(seed, "fleet", round_index)
        # 1.1 x 70 is a little more than 77 in floating point, and means 77.
        wanted = ceil(self.over_selection * cohort_size - 1e-9)
        asked = self._asked(round_index, wanted, len(steps), chance)
        lost, turn = torch.rand(2, len(steps), generator=chance).tolist()
        work, absent, arrival = {}, {}, {}
        for client in asked:
            dropout = self.dropout if isinstance(self.dropout, int | float) else self.dropout[client]
            if lost[client] < dropout:
                absent[client] = "dropped out"
                continue
            pace = self._pace(client, round_index, seed)
            share, seconds = self._in_time(client, steps[client], download, upload, pace)
            if isinstance(share, str):
                absent[client] = share
            else:
                work[client], arrival[client] = share, seconds
        # Of those who are equally quick, chance decides: by number, the last clients would never be heard.
        for client in sorted(work, key=lambda client: (arrival[client], turn[client]))[cohort_size:]:
            absent[client] = "not needed any more"
            del work[client], arrival[client]
        counts = {}
        if self.inverse_probability:
            chances = inclusion(self.importance or [1.0] * len(steps), wanted)
            counts = {client: 1 / chances[client] for client in asked}
        seconds = self._seconds(arrival, cohort_size, waiting=len(work) < len(asked))
        return Attendance(asked, work, absent, seconds, counts)

    @property
    def timed(self) -> bool:
        return bool(self.devices)

    def next_asked(
        self, idle: Sequence[int], wanted: int, clients: int, version: int, draw: int, seed: int
    ) -> tuple[int, ...]:  # fmt: skip
        """Return who is asked next; see `course_lib.federated.fleet.OutOfStep`. Raises ValueError for settings of rounds that end."""
        if self.deadline is not None or self.over_selection > 1 or self.inverse_probability:
            raise ValueError(
                "deadline, over_selection and inverse_probability are about rounds that end: out of step the server waits for nobody, so "
                "leave them out"
            )
        self._check_lengths(clients)
        if wanted == len(idle) and self.importance is None and self.available is None:
            return tuple(idle)
        return self._asked(version, wanted, clients, keys.generator(seed, "fleet", "next", draw), idle)

    def answer(
        self, client: int, version: int, attempt: int, steps: int, download: int, upload: int, seed: int
    ) -> tuple[float, float, str]:
        """Return when a client's answer comes and whether it does; see `course_lib.federated.fleet.OutOfStep`."""
        turn, lost = torch.rand(2, generator=keys.generator(seed, "fleet", "answer", attempt)).tolist()
        if not self.devices:
            seconds, why = 1.0, ""  # everybody takes equally long, and chance decides who is first
        else:
            share, seconds = self._in_time(client, steps, download, upload, self._pace(client, version, seed))
            why = share if isinstance(share, str) else ""
            # Who cannot train at all finds that out with the model in hand.
            seconds = download / self.devices[client].downlink if why else seconds
        dropout = self.dropout if isinstance(self.dropout, int | float) else self.dropout[client]
        return seconds, turn, why or ("dropped out" if lost < dropout else "")

    def _pace(self, client: int, round_index: int, seed: int) -> float:
        """Return how many times as long as usual a client computes in a round."""
        if not self.variation:
            return 1.0
        drawn = torch.randn((), generator=keys.generator(seed, "pace", client, round_index), dtype=torch.float64)
        return exp(self.variation * float(drawn) - self.variation**2 / 2)

    def _check_lengths(self, clients: int) -> None:
        for name in ("devices", "importance", "dropout"):
            value = getattr(self, name)
            if value is None or isinstance(value, int | float) or (name == "devices" and not len(value)):
                continue
            if len(value) != clients:
                raise ValueError(f"{name} has {len(value)} entries for {clients} clients: pass one for each client")

    def _asked(
        self, round_index: int, wanted: int, clients: int, chance: torch.Generator, idle: Sequence[int] | None = None
    ) -> tuple[int, ...]:
        """Draw clients without replacement, each with its importance, from those that are available, and idle where that counts."""
        if self.inverse_probability:
            return systematic(inclusion(self.importance or [1.0] * clients, wanted), chance)
        rolls = torch.rand(clients, generator=chance).tolist()
        importance = torch.ones(clients, dtype=torch.float64)
        if self.importance is not None:
            importance = torch.tensor(list(self.importance), dtype=torch.float64)
        if self.available is not None:
            for client, roll in enumerate(rolls):
                likely = self.available(client, round_index)
                if not 0 <= likely <= 1:
                    raise ValueError(f"available({client}, {round_index}) is {likely}: return a chance between 0 and 1")
                if roll >= likely:
                    importance[client] = 0
        if idle is not None:
            importance *= torch.zeros(clients, dtype=torch.float64).index_fill_(0, torch.tensor(idle), 1.0)
        wanted = min(wanted, int((importance > 0).sum()))
        if not wanted:
            return ()
        return tuple(sorted(torch.multinomial(importance, wanted, generator=chance).tolist()))

    def _in_time(
        self, client: int, steps: int, download: int, upload: int, pace: float = 1.0
    ) -> tuple[float | str, float]:
        """Return the share of its steps that a client takes, or why it does not answer; and when its answer arrives."""
        if not self.devices:
            return 1.0, 0.0
        device = self.devices[client]
        if _MEMORY_FOR_A_MODEL * download > device.memory:
            return "too little memory", 0.0
        speed = device.speed / pace
        talking, computing = download / device.downlink + upload / device.uplink, steps / speed
        if self.deadline is None or talking + computing <= self.deadline:
            return 1.0, talking + computing
        done = (self.deadline - talking) * speed + 1e-9  # a step that ends on the dot counts
        if self.partial_work == "drop" or done < 1:
            return "too slow", 0.0
        return floor(done) / steps, self.deadline

    def _seconds(self, arrival: dict[int, float], wanted: int, *, waiting: bool) -> float:
        """Return when the server goes on: at the last answer that it wants, or at the deadline if some do not come."""
        if not self.devices:
            return float("nan")
        if waiting and len(arrival) < wanted and self.deadline is not None:
            return self.deadline
        return max(arrival.values(), default=0.0)
