"""What a federated strategy is: what the server sends, what a client does with it, what the server makes of the answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from course_lib.data import Dataset
from course_lib.federated.stage import State
from course_lib.learning import evaluation, sgd

__all__ = ["LocalWork", "State", "Strategy"]


class Steps(Protocol):
    """Another way to take local steps than plain SGD, such as DP-SGD."""

    @property
    def steps_an_epoch(self) -> int:
        """How many steps go through as many examples as a client has."""
        ...

    def train(
        self, model: sgd.FlatModel, x: Tensor, y: Tensor, learning_rate: float, first_step: int, steps: int,
        key: tuple[int | str, ...], correction: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Train `model` in place and return what changed `(d,)`, as `sgd.local_update` does."""
        ...


@dataclass(frozen=True)
class LocalWork:
    """A client's work in one round: its examples, and how many SGD steps on them it takes.

    `steps`: SGD steps of this round; `examples`: how many the client holds; `rate`: the learning rate of a step; `by`: how steps
    are taken, if not as plain SGD.
    """

    model: sgd.FlatModel
    shard: Dataset
    rate: float
    batch_size: int | None
    first_step: int
    steps: int
    key: tuple[int | str, ...] = field(repr=False)
    by: "Steps | None" = None

    @property
    def examples(self) -> int:
        """How many examples the client holds."""
        return len(self.shard)

    def train(self, start: Tensor, correction: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return what the steps change, `delta: (d,)`, beginning at the weights `start: (d,)`.

        `correction(theta)` returns what is added to the gradient `(d,)` at the weights `theta: (d,)` of every step.
        """
        self.model.theta.copy_(start)
        if self.by is not None:
            return self.by.train(
                self.model, self.shard.x, self.shard.y, self.rate, self.first_step, self.steps, self.key, correction
            )
        return sgd.local_update(
            self.model, self.shard.x, self.shard.y, self.rate, self.batch_size, self.first_step, self.steps, self.key,
            correction,
        )  # fmt: skip

    def gradient(self, theta: Tensor) -> Tensor:
        """Return the gradient `(d,)` of the first of the steps' batches at the weights `theta: (d,)`; no step is taken."""
        self.model.theta.copy_(theta)
        return sgd.batch_gradient(self.model, self.shard.x, self.shard.y, self.batch_size, self.first_step, self.key)

    def loss(self, theta: Tensor) -> float:
        """Return the mean cross-entropy (nats) of the weights `theta: (d,)` on all of the client's examples."""
        self.model.theta.copy_(theta)
        return evaluation.accuracy_and_loss(self.model.module, self.shard)[1]


@dataclass(frozen=True)
class Strategy:
    """Federated averaging; a strategy overrides what it does differently. `batch_norm`: whether it can train BatchNorm.
    `by_examples`: whether clients must count by their examples alone, the same in every round, however likely they are to be asked.
    `by_steps`: whether all that a client sends follows from its steps; a loss beside them would leak past steps that are private.
    `one_model`: whether the server ends with a whole model; one whose parts stay with clients is not tested, its clients' are.

    A strategy is settings and pure functions. What has to be remembered is handed in and out as a `State`: each client's
    own, which outlives rounds that the client sits out, and the server's.
    """

    batch_norm: ClassVar[bool] = False
    by_examples: ClassVar[bool] = False
    one_model: ClassVar[bool] = True
    by_steps: ClassVar[bool] = True

    @property
    def needs_whole_work(self) -> bool:
        """Whether each client must take all the steps that the server asked for."""
        return False

    def fitted(self, module: nn.Module) -> "Strategy":
        """Return this strategy for the model at hand, with its initial weights. Raises ValueError where they do not go together."""
        return self

    def server_start(self, theta: Tensor) -> State:
        """Return what the server remembers before the first round, for weights `theta: (d,)`."""
        return {}

    def download(self, theta: Tensor, server: State) -> Tensor:
        """Return what the server sends to each client of a round, a flat vector."""
        return theta

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        """Do a client's work; return its message, a flat vector, and what it remembers (`state` is {} at first)."""
        return work.train(received), state

    def message_size(self, weights: int) -> int:
        """Return the length of a client's message for a model of `weights` weights."""
        return weights

    def read(self, message: Tensor, server: State, steps: int, rate: float) -> Tensor:
        """Return what the server averages, made from a client's message, the steps asked of it and the rate of each."""
        return message

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        """Return new weights `(d,)` and what the server remembers, from the mean of what was read from the clients.

        `share`: how much these clients weigh in the mean, where everybody together weighs 1.
        """
        return theta + mean, server

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        """Return the weights `(d,)` that a client uses in the end, from the server's last message: here, what it says."""
        return received


@dataclass(frozen=True)
class OneStep(Strategy):
    """What travels when a round is a single step: the gradient itself, and the server takes the step, at the rate of the plan."""

    rate: float = 0.1

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        return work.gradient(received), {}

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        return torch.add(theta, mean, alpha=-self.rate), server
