"""A model of text small enough for a phone: it reads a window of characters and scores the next one."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.models.spec import ModelSpec, Shape

_KERNEL = 4


class Causal(nn.Module):
    """Causal convolutions of width 4 with dilations 1, 4, 16, ... after WaveNet (van den Oord et al. 2016, arXiv 1609.03499,
    section 2.1): a position sees what comes before it and nothing else.

    Maps `window` numbers of characters, `(b, window)` of any type, to scores `(b, characters)`. Only the last position is
    asked for, so each layer works out the quarter of the positions that it depends on: a tree of `Linear`s, some nine times
    quicker than a GRU of that width. Raises ValueError for a number that is no character's.
    """

    def __init__(self, window: int, characters: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.layers = nn.ModuleList()
        positions = 1
        while positions < window or not self.layers:
            self.layers.append(nn.Linear(_KERNEL * (hidden if self.layers else width), hidden))
            positions *= _KERNEL
        self.padding = positions - window
        self.head = nn.Linear(hidden, characters)

    def forward(self, x: Tensor) -> Tensor:
        try:
            states = self.embedding(x.long())
        except IndexError as error:
            raise ValueError(
                f"the examples hold numbers from {x.min():g} to {x.max():g}, but the model knows the characters 0 to "
                f"{self.embedding.num_embeddings - 1}: number them as the classes are, see data.load_by_client('keyboard')"
            ) from error
        states = functional.pad(states, (0, 0, self.padding, 0))  # zeros before the window
        for layer in self.layers:
            states = torch.relu(layer(states.unflatten(1, (-1, _KERNEL)).flatten(2)))
        return self.head(states.squeeze(1))


def causal(width: int = 16, hidden: int = 64) -> ModelSpec:
    """A small causal convolutional net that scores the next character: 23,605 weights for the keyboard data set.

    `width`: numbers that stand for a character. Learning rates near 0.1 suit it at batch 10.
    """
    if width < 1 or hidden < 1:
        raise ValueError(f"width={width} and hidden={hidden} must be at least 1, for example 16 and 64")
    return ModelSpec("causal", partial(_causal, width=width, hidden=hidden))


def _causal(shape: Shape, characters: int, width: int, hidden: int) -> nn.Module:
    """Return the model for windows `(window,)`. Raises ValueError for examples of another shape."""
    if len(shape) != 1:
        raise ValueError(
            f"models.causal() needs windows of characters, such as (16,), got examples of shape {shape}: use models.mlp() or "
            "models.cnn()"
        )
    return Causal(shape[0], characters, width, hidden)
