"""A defence against readers of the wire that a client can take by itself: clip the update and add noise to it."""

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from course_lib.federated.strategy import LocalWork, State, Strategy
from course_lib.learning import keys


@dataclass(frozen=True)
class ClipAndNoise(Strategy):
    """Federated averaging in which each client shortens its update to length `clip` and adds Gaussian noise to every value.

    `noise`: the noise's length as a multiple of `clip` (each value's deviation is noise x clip / sqrt(d)), so that 1 is as
    much noise as message. This hides images; what it proves, and with how much noise, is lesson 12's question. An infinite
    clip without noise changes nothing. Raises ValueError for a clip that is not above 0, negative noise, or noise without a finite clip.
    """

    clip: float = float("inf")
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not self.clip > 0:
            raise ValueError(f"clip={self.clip} must be above 0: the longest update that is sent as it is")
        if not (isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise={self.noise} must be at least 0 and finite: 1 is as long as the clipped update")
        if self.noise and not isfinite(self.clip):
            raise ValueError(f"noise={self.noise} is a multiple of the clip: give a finite clip")

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        update = work.train(received)
        length = float(update.norm())
        if length > self.clip:
            update = update * (self.clip / length)
        if self.noise:
            chance = keys.generator(*work.key, "noise", work.first_step)
            update = update + torch.randn(len(update), generator=chance) * (self.noise * self.clip / len(update) ** 0.5)
        return update, state
