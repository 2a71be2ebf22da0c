"""One small GPT and some text for it, and what one process makes of them: the reference for everything that cuts it up."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from course_lib import models
from course_lib.models.gpt import language_targets

CHARACTERS, WINDOW, BATCH, STEPS, RATE = 37, 8, 10, 20, 0.003


class Ended(NamedTuple):
    losses: list[float]
    weights: Tensor


def model(blocks: int = 3, width: int = 20) -> nn.Sequential:
    """Sizes that neither 2 nor 4 workers divide: 20,857 weights, in layers of 900, 4,960 and 817."""
    built = models.gpt(width, 4, blocks, every_position=True).build((WINDOW,), CHARACTERS, seed=1)
    assert isinstance(built, nn.Sequential)
    return built


def batches(count: int = STEPS) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    drawn = [torch.randint(CHARACTERS, (BATCH, WINDOW + 1), generator=generator) for _ in range(count)]
    return [(text[:, :-1].float(), language_targets(text[:, :-1], text[:, -1])) for text in drawn]


def loss_of(whole: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(whole(x).flatten(0, 1), y.flatten())


def one_process(whole: nn.Module, given: list[tuple[Tensor, Tensor]], rate: float = RATE) -> Ended:
    """Plain training, by torch alone."""
    adam, losses = torch.optim.Adam(whole.parameters(), lr=rate), []
    for x, y in given:
        adam.zero_grad()
        loss = loss_of(whole, x, y)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return Ended(losses, parameters_to_vector(whole.parameters()).detach())


def dealt(x: Tensor, y: Tensor, rank: int, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return x.split(sizes)[rank], y.split(sizes)[rank]
