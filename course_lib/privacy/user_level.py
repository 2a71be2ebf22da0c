"""DP-FedAvg (McMahan et al. 2018, arXiv 1710.06963, algorithm 1): nobody can tell from the weights whether one user took part.

Each client's whole update is clipped, all weigh the same, noise is added to their sum, and the sum is divided by the number of
clients to be expected: fixed and public, never the number that came. Each client is in a round's cohort with the same
probability, and who is in it stays secret. The bound can follow the updates (Andrew et al. 2021, arXiv 1905.03871).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, isfinite, sqrt
from typing import Literal

import torch
from torch import Tensor

from course_lib.learning import keys
from course_lib.privacy.example_level import check

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adaptive:
    """A bound that follows a quantile of the updates' norms (Andrew et al. 2021, arXiv 1905.03871, algorithm 1).

    Each client says in one bit whether its update was within the bound. `quantile`: the share that should be; `rate`: how fast
    the bound's logarithm follows (eta_C in the paper); `bit_noise`: the deviation of the noise on the sum of bits (sigma_b),
    in the paper a twentieth of the clients expected in a round.
    """

    bit_noise: float
    quantile: float = 0.5
    rate: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.bit_noise < inf:
            raise ValueError(
                f"bit_noise={self.bit_noise} must be a number of 0 or more: a twentieth of a round's clients"
            )
        if not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile={self.quantile} must lie between 0 and 1, for example 0.5")
        if not 0 < self.rate < inf:
            raise ValueError(f"rate={self.rate} must be a number above 0, for example 0.2")

    def follow(self, bound: float, share: float) -> float:
        """Return the next bound where `share` of the updates were within this one: a geometric update."""
        return bound * exp(-self.rate * (share - self.quantile))


@dataclass(frozen=True)
class UserLevel:
    """How a round is made private, a client half and a server half.

    `noise_multiplier`: what the accountant is told, whether or not bits travel too; `clipping_norm`: the bound on an update's
    norm, or the first one where it is adaptive; `noise_by`: "server", which must be trusted, or "clients": each adds a share,
    so that a server that sees only the sum (secure aggregation) sees it noised.

    Raises ValueError for a setting out of range, noise without a finite bound, and bits noised too little for the whole.
    """

    noise_multiplier: float
    clipping_norm: float
    adaptive: Adaptive | None = None
    noise_by: Literal["server", "clients"] = "server"
    update_noise: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check(self.noise_multiplier, self.clipping_norm)
        if self.noise_by not in ("server", "clients"):
            raise ValueError(f"noise_by={self.noise_by!r} must be 'server' or 'clients'")
        if self.adaptive and not isfinite(self.clipping_norm):
            raise ValueError(f"clipping_norm={self.clipping_norm} cannot follow the updates: start with a finite one")
        noise = self.noise_multiplier
        if self.adaptive:
            noise = noise_beside_bits(noise, self.adaptive.bit_noise)
        object.__setattr__(self, "update_noise", noise)

    def size(self, values: int) -> int:
        """Return how many numbers a client sends for an update of `values`."""
        return values + (self.adaptive is not None)

    def bound(self, state: State) -> float:
        """Return the bound of the next round."""
        return float(state["bound"]) if "bound" in state else self.clipping_norm

    def client(
        self, vector: Tensor, bound: float, expected: float | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the message `(size(m),)` for an update `(m,)`: clipped, with its bit if the bound adapts, and its noise.

        `expected` and `generator` are needed where clients add the noise: how many of them add up to all of it. Name the
        fewest that the round accepts, and dropouts never leave too little.
        """
        message = clip(vector, bound)
        if self.adaptive:
            # A half is taken off, so that one client changes the sum of bits by a half and not by one.
            bit = float(vector.double().norm() <= bound) - 0.5
            message = torch.cat([message, torch.tensor([bit], dtype=vector.dtype)])
        if self.noise_by == "clients":
            if expected is None or generator is None:
                raise ValueError(
                    "noise_by='clients' needs the number of clients expected, and a generator, for each's share"
                )
            message = message + self._noise(len(message), bound, generator) / sqrt(_positive(expected))
        return message

    def server(self, total: Tensor, expected: float, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """Return the private mean `(m,)` from the sum of all messages `(size(m),)`, and the state for the next round.

        `expected`: sample rate x clients. A cohort of nobody is a round like any other: its sum is zero.
        """
        _positive(expected)
        bound = self.bound(state)
        if self.noise_by == "server":
            total = total + self._noise(len(total), bound, generator)
        if not self.adaptive:
            return total / expected, state
        share = float(total[-1]) / expected + 0.5
        following = torch.tensor(self.adaptive.follow(bound, share), dtype=torch.float64)
        return total[:-1] / expected, {**state, "bound": following}

    def _noise(self, size: int, bound: float, generator: torch.Generator) -> Tensor:
        """Return the noise that a whole round needs."""
        if not self.noise_multiplier:
            return torch.zeros(size)
        noise = torch.randn(size, generator=generator)
        if not self.adaptive:
            return noise * (self.update_noise * bound)
        noise[:-1] *= self.update_noise * bound
        noise[-1] *= self.adaptive.bit_noise
        return noise


def clip(vector: Tensor, bound: float) -> Tensor:
    """Return the update scaled down to norm `bound`, or as it is if it is shorter. One that is not finite becomes zero."""
    size = float(vector.double().norm())
    if not isfinite(size):
        return torch.zeros_like(vector)
    if size <= bound:
        return vector
    return (vector.double() * (bound / size * (1 - 1e-7))).to(vector.dtype)  # rounding must not lead out again


def noise_beside_bits(noise_multiplier: float, bit_noise: float) -> float:
    """Return the noise multiplier for the update where bits are released beside it (Andrew et al. 2021, theorem 1).

    (z^-2 - (2 sigma_b)^-2)^-1/2: both together then cost what one release with z does. Raises ValueError unless z < 2 sigma_b.
    """
    if noise_multiplier == 0:
        return 0.0
    if not noise_multiplier < 2 * bit_noise:
        raise ValueError(
            f"noise_multiplier={noise_multiplier} must be below 2 x bit_noise={2 * bit_noise}: the bits alone would cost more "
            f"than that; raise bit_noise above {noise_multiplier / 2}, or lower noise_multiplier"
        )
    return float((noise_multiplier**-2 - (2 * bit_noise) ** -2) ** -0.5)


def noise_left(noise_multiplier: float, expected: float, arrived: int) -> float:
    """Return the noise multiplier of a round where clients add the noise in shares for `expected`, and `arrived` of them do.

    Each share that drops out takes its part of the variance with it; so does each client that tells others its own.
    """
    return float(noise_multiplier * sqrt(arrived / _positive(expected)))


def cohort(clients: Sequence[int], sample_rate: float, seed: int, number: int) -> list[int]:
    """Return who takes part in round `number`: each client with the same probability, whoever else does. Nobody may."""
    if not 0 <= sample_rate <= 1:
        raise ValueError(f"sample_rate={sample_rate} must lie between 0 and 1: the expected cohort / all clients")
    draws = torch.rand(len(clients), generator=keys.generator(seed, "private cohort", number))
    return [client for client, draw in zip(clients, draws.tolist(), strict=True) if draw < sample_rate]


def _positive(expected: float) -> float:
    if not 0 < expected < inf:
        raise ValueError(f"expected={expected} must be above 0: the sample rate x all clients, fixed for the whole run")
    return expected
