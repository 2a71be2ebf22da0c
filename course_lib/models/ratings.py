"""A model of taste: whether somebody who liked those films likes this one."""

from functools import partial

import torch
from torch import Tensor, nn

from course_lib.models.spec import ModelSpec, Shape


class Taste(nn.Module):
    """Two towers: what a person thought of other films becomes a taste, `(b, width)`, the film in question a place in the same space, and
    their product, with how well the film is liked in general, is the score (after Covington, Adams and Sargin 2016,
    doi 10.1145/2959100.2959190, reduced to its core).

    Maps `(b, 2, films)`, as `data.load_by_client("ratings")` has it, to scores `(b, 2)`: no like, like. Nothing in it belongs to one
    person, so a person's taste never has to leave the device that computes it.
    """

    def __init__(self, films: int, width: int) -> None:
        super().__init__()
        self.person = nn.Linear(films, width)
        self.film = nn.Linear(films, width, bias=False)
        self.fame = nn.Linear(films, 1)

    def forward(self, x: Tensor) -> Tensor:
        before, asked = x[:, 0], x[:, 1]
        score = (self.person(before) * self.film(asked)).sum(1) + self.fame(asked).squeeze(1)
        return torch.stack([torch.zeros_like(score), score], dim=1)


def taste(width: int = 8) -> ModelSpec:
    """A recommender in two towers: 1,029 weights for 60 films.

    Raises ValueError for a width below 1, and when it is built for other examples or classes than those of ratings.
    """
    if width < 1:
        raise ValueError(f"width={width} must be at least 1, for example 8")
    return ModelSpec("taste", partial(_taste, width=width))


def _taste(shape: Shape, classes: int, width: int) -> nn.Module:
    if len(shape) != 2 or shape[0] != 2 or classes != 2:
        raise ValueError(
            f"models.taste() needs examples (2, films) of two classes, got {shape} of {classes}: see data.load_by_client('ratings')"
        )
    return Taste(shape[1], width)
