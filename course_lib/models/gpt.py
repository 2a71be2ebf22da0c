"""A tiny GPT that writes text character by character, as layers in a row, so that it can be cut anywhere.

Decoder-only transformer with normalisation before each part, after GPT-2 (Radford et al. 2019, "Language models are
unsupervised multitask learners", section 2.3); attention by Vaswani et al. 2017 (arXiv 1706.03762, section 3.2).
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from course_lib.models.spec import ModelSpec, Shape


class Embed(nn.Module):
    """Characters `(b, t)`, numbers of any type, to states `(b, t, width)`: what stands there plus where it stands.

    Raises ValueError for a number that is no character's, or for more than `window` of them.
    """

    def __init__(self, window: int, characters: int, width: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(characters, width)
        self.positions = nn.Embedding(window, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t = x.shape
        if t > self.positions.num_embeddings:
            raise ValueError(
                f"{t} characters, but the model reads {self.positions.num_embeddings} at once: pass the last"
            )
        places = torch.arange(t).expand(b, t)  # one for each example, as per-example gradients want it
        try:
            return self.characters(x.long()) + self.positions(places)
        except IndexError as error:
            raise ValueError(
                f"the examples hold numbers from {x.min():g} to {x.max():g}, but the model knows the characters 0 to "
                f"{self.characters.num_embeddings - 1}: number them as the classes are, see data.load_by_client('keyboard')"
            ) from error


class Attention(nn.Module):
    """Causal self-attention, `(b, t, width)` to the same: a position looks at itself and at what comes before it.

    `heads` attend side by side, each with its own share of the columns of `query`, `key` and `value`: so they can be
    dealt to workers.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        # A bias of the keys adds the same to all scores of a query: the softmax does not see it.
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, t, width of a head)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        attention = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
        return self.out((attention @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer of the transformer: attention, then a multilayer perceptron, each added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class MLP(nn.Module):
    """Two linear layers with a GELU between them, applied to each position alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(x)))


class Head(nn.Module):
    """States `(b, t, width)` to the scores of the next character: `(b, t, characters)`, or `(b, characters)` of the last."""

    def __init__(self, width: int, characters: int, every_position: bool) -> None:
        super().__init__()
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, characters)
        self.every_position = every_position

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.norm(x if self.every_position else x[:, -1]))


def layers(
    window: int, characters: int, width: int, heads: int, blocks: int, every_position: bool = True
) -> Iterator[nn.Module]:
    """Yield the layers one by one, each built when it is asked for: a model that fits nowhere whole is built like this.

    Raises ValueError for sizes below 1, or heads that do not share the width evenly.
    """
    if min(window, width, heads, blocks) < 1:
        raise ValueError(f"window={window}, width={width}, heads={heads} and blocks={blocks} must be at least 1")
    if width % heads:
        raise ValueError(f"heads={heads} cannot share width={width} evenly: take a width that is a multiple of it")
    yield Embed(window, characters, width)
    for _ in range(blocks):
        yield Block(width, heads)
    yield Head(width, characters, every_position)


def gpt(width: int = 64, heads: int = 4, blocks: int = 4, every_position: bool = False) -> ModelSpec:
    """A tiny GPT for windows of characters: an `nn.Sequential` of embedding, blocks and head.

    It scores the character after the window, `(b, characters)`, or with `every_position` the one after each position,
    `(b, t, characters)`: then it is trained as a language model, by `language_targets`. 205,605 weights for the keyboard
    data set. Adam with a rate of 0.003 suits it; plain SGD trains it slowly.
    """
    next(layers(1, 1, width, heads, blocks))  # refuses now what would be refused when it is built
    return ModelSpec("gpt", partial(_gpt, width=width, heads=heads, blocks=blocks, every_position=every_position))


def _gpt(shape: Shape, characters: int, width: int, heads: int, blocks: int, every_position: bool) -> nn.Module:
    if len(shape) != 1:
        raise ValueError(
            f"models.gpt() needs windows of characters, such as (16,), got examples of shape {shape}: use models.mlp() or "
            "models.cnn()"
        )
    return nn.Sequential(*layers(shape[0], characters, width, heads, blocks, every_position))


def language_targets(x: Tensor, y: Tensor) -> Tensor:
    """Return what a language model should say at each position of the windows `x: (n, t)` before `y: (n,)`: `(n, t)`, int64."""
    return torch.cat([x[:, 1:].long(), y[:, None]], dim=1)
