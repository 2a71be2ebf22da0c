"""Pipeline parallel: every worker holds some of the layers, and a batch goes through them in microbatches.

GPipe: Huang et al. 2019, arXiv 1811.06965, section 2.3. One forward, one backward: the schedule of PipeDream-Flush, Narayanan
et al. 2021, arXiv 2104.04473, section 2.2.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.cluster.recorder import Span
from course_lib.cluster.traffic import Channel, Handle, InLane, OutLane
from course_lib.distributed.adam import Adam
from course_lib.settings import whole


class Piece(NamedTuple):
    """A stage's work on one microbatch, in one direction."""

    way: Literal["forward", "backward"]
    microbatch: int


Schedule = Callable[[int, int, int], list[Piece]]


def gpipe(stage: int, stages: int, microbatches: int) -> list[Piece]:
    """Return what a stage does in which order: all forwards, then all backwards. It holds the activations of all of them.

    Raises ValueError for a stage that is not there, or no microbatch.
    """
    _check(stage, stages, microbatches)
    forwards = [Piece("forward", number) for number in range(microbatches)]
    return forwards + [Piece("backward", number) for number in range(microbatches)]


def one_forward_one_backward(stage: int, stages: int, microbatches: int) -> list[Piece]:
    """Return the order of 1F1B: a backward as soon as there is one to do, so that few activations are held.

    A stage holds those of at most `stages - stage` microbatches. The bubble is that of GPipe, and so are the errors.
    """
    _check(stage, stages, microbatches)
    ahead = min(stages - stage - 1, microbatches)
    order = [Piece("forward", number) for number in range(ahead)]
    for number in range(microbatches):
        if number + ahead < microbatches:
            order.append(Piece("forward", number + ahead))
        order.append(Piece("backward", number))
    return order


def bubble(stages: int, microbatches: int) -> float:
    """Return the share of the time in which a stage has nothing to do, were all pieces equally long and messages free.

    Raises ValueError for no stage or no microbatch.
    """
    _check(0, stages, microbatches)
    return (stages - 1) / (microbatches + stages - 1)


def measured_bubble(spans: Sequence[Sequence[Span]]) -> float:
    """Return that share from the timeline of one step, the spans of each stage: what was neither forward nor backward.

    Raises ValueError where there is neither, or it took no time.
    """
    busy = [(start, end) for own in spans for name, start, end in own if name in ("forward", "backward")]
    if not busy:
        raise ValueError("the timeline has no forward and no backward: pass each stage's recorder.spans of one step")
    length = max(end for _, end in busy) - min(start for start, _ in busy)
    if not length > 0:
        raise ValueError(f"the timeline is {length:g} seconds long: pass spans that took some time")
    return 1 - sum(end - start for start, end in busy) / (len(spans) * length)


def stage_layers(layers: Sequence[nn.Module] | nn.Sequential, stage: int, stages: int) -> nn.Sequential:
    """Return the layers of one stage, consecutive ones, about equally many each.

    Raises ValueError for fewer layers than stages, and for a stage that is not there.
    """
    _check(stage, stages, 1)
    if len(layers) < stages:
        raise ValueError(f"{len(layers)} layers cannot be dealt to {stages} stages: take fewer workers")
    first, last = stage * len(layers) // stages, (stage + 1) * len(layers) // stages
    return nn.Sequential(*list(layers)[first:last])


def _check(stage: int, stages: int, microbatches: int) -> None:
    whole(stages, "stages", 1)
    whole(stage, "stage", 0, stages - 1)
    whole(microbatches, "microbatches", 1)


class Stage:
    """One worker's layers, trained with Adam together with the stages before and behind it.

    `most_held`: the most microbatches whose activations this stage held at once.
    """

    def __init__(self, layers: Iterable[nn.Module], channel: Channel, learning_rate: float = 0.001) -> None:
        self.channel, self.number, self.stages = channel, channel.rank, channel.world
        self.layers = nn.Sequential(*layers)
        self._weights = list(self.layers.parameters())
        self._adam = Adam(self._weights, learning_rate)
        self._held: dict[int, tuple[Tensor, Tensor]] = {}
        self._kind: tuple[Any, ...] = ()  # what the examples of a step look like
        self._met: set[tuple[int, tuple[Any, ...]]] = set()  # sizes and kinds of microbatches that every stage has seen
        self._like: dict[
            tuple[str, tuple[Any, ...]], Tensor
        ] = {}  # what comes in and goes out for that kind, by an example
        self._agreed, self._sent = False, list[Handle]()
        self._into: dict[tuple[int, int], InLane] = {}  # by neighbour and microbatch
        self._out: dict[tuple[int, int], OutLane] = {}
        self.most_held = 0

    def step(self, x: Tensor, y: Tensor, microbatches: int, schedule: Schedule = gpipe) -> float:
        """Take one step on the batch `x: (n, ...)`, `y: (n, ...)`; return its mean loss on the last stage, 0 on others.

        Only the first stage looks at what is in `x`, only the last at `y`, but all need them: their shapes say what messages look
        like. Raises ValueError for more microbatches than examples, or none.
        """
        if len(x) != len(y):
            raise ValueError(f"{len(x)} examples with targets for {len(y)}: every stage needs all of both")
        if not 1 <= whole(microbatches, "microbatches", 0) <= len(x):
            raise ValueError(f"{len(x)} examples cannot be cut into {microbatches} microbatches: take 1 to {len(x)}")
        inputs, targets = x.tensor_split(microbatches), y.tensor_split(microbatches)
        sizes, loss = [len(part) for part in inputs], 0.0
        self._kind = (x.shape[1:], x.dtype, y.shape[1:])
        met = {(size, self._kind) for size in sizes}
        self._agreed = self.stages > 1 and self._met >= met
        if self._agreed:
            self._get_ready(sizes)
        self.layers.zero_grad()
        for piece in schedule(self.number, self.stages, microbatches):
            number = piece.microbatch
            if piece.way == "forward":
                self._forward(piece, inputs[number])
            else:
                loss += self._backward(piece, targets[number], y.numel())
        # Every one of them: a worker that waits for the last alone may leave others waiting for ever.
        for handle in self._sent:
            handle.wait()
        for lane in self._out.values():
            lane.wait()
        self._sent.clear()
        self._met |= met
        self._adam.step(
            [weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in self._weights]
        )
        return loss

    def _forward(self, piece: Piece, x: Tensor) -> None:
        if self.number > 0:
            x = self._take(self.number - 1, "activations", piece.microbatch).requires_grad_()
        with self.channel.recorder.phase("forward"):
            out = self.layers(x)
        self._held[piece.microbatch] = x, out
        self.most_held = max(self.most_held, len(self._held))
        if self.number < self.stages - 1:
            self._give(out.detach(), self.number + 1, "activations", piece.microbatch)

    def _backward(self, piece: Piece, y: Tensor, of: int) -> float:
        """Add a microbatch's part to the gradient; return its part of the loss, every target counting as one of `of`."""
        x, out = self._held.pop(piece.microbatch)
        loss, gradient = 0.0, None
        if self.number < self.stages - 1:
            gradient = self._take(self.number + 1, "gradients", piece.microbatch)
        with self.channel.recorder.phase("backward"):
            if gradient is None:
                out = functional.cross_entropy(out.flatten(0, -2), y.flatten(), reduction="sum") / of
                loss = out.item()
            if out.requires_grad:  # a first stage may have nothing to train
                out.backward(gradient)
        if self.number > 0:
            assert x.grad is not None
            self._give(x.grad, self.number - 1, "gradients", piece.microbatch)
        return loss

    def _get_ready(self, sizes: Sequence[int]) -> None:
        """Be ready for all that will come, each microbatch in a lane of its own, before the first leaves.

        A message that comes to a stage busy with another piece would keep gloo's thread asking, at that piece's expense.
        """
        before, behind = (self.number - 1, "in", "gradients"), (self.number + 1, "out", "activations")
        neighbours = [each for each in (behind, before) if 0 <= each[0] < self.stages]
        for neighbour, side, kind in neighbours:  # announced first: nobody then waits in a circle
            for number, size in enumerate(sizes):
                self._out[neighbour, number] = self.channel.lane_to(
                    neighbour, self._shaped(side, size), kind=kind, number=number
                )  # fmt: skip
        for neighbour, side, _ in neighbours:
            kind = "activations" if side == "in" else "gradients"
            for number, size in enumerate(sizes):
                self._into[neighbour, number] = self.channel.lane_from(
                    neighbour, self._shaped(side, size), kind=kind, number=number
                )  # fmt: skip
                self._into[neighbour, number].ready()

    def _shaped(self, side: str, size: int) -> Tensor:
        """Return an empty microbatch of what comes in or goes out: activations and their gradients are alike."""
        like = self._like[side, self._kind]
        return like.new_empty((size, *like.shape[1:]))

    def _take(self, source: int, kind: str, number: int) -> Tensor:
        """Return a microbatch's message from a neighbour. Until all know what it looks like, it says so itself."""
        if self._agreed:
            return self._into[source, number].wait().detach()
        got = self.channel.recv(source, kind=kind)
        self._like["in" if source < self.number else "out", self._kind] = got
        return got

    def _give(self, tensor: Tensor, to: int, kind: str, number: int) -> None:
        """Send a microbatch's message to a neighbour."""
        if self._agreed:
            self._out[to, number].send(tensor)
        else:
            self._sent.append(self.channel.isend(tensor, to, kind=kind))
