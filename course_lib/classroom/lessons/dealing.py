"""What lesson 05 runs on its workers: a GPT that is dealt out in three ways, and what that takes in bytes and seconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from course_lib.cluster.recorder import Message, Span
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.data.text import ALPHABET, WINDOW
from course_lib.distributed import memory, pipeline, tensor_parallel
from course_lib.distributed.adam import Adam
from course_lib.distributed.sharded import Sharded
from course_lib.models.gpt import layers

_STAGES = {"none": "data parallel", "1": "stage 1", "2": "stage 2", "3": "stage 3"}

Batches = Sequence[tuple[Tensor, Tensor]]


def deal(x: Tensor, y: Tensor, rank: int, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return this worker's part of a batch, of which each worker gets so many windows."""
    return x.split(list(sizes))[rank], y.split(list(sizes))[rank]


def zero(
    model: nn.Sequential, stage: int, sizes: Sequence[int], batches: Batches, rate: float
) -> tuple[Tensor, list[Message], int]:
    """On one worker: train with a stage of ZeRO, on so many windows of each batch; the model's weights, what was sent, weights held."""
    channel = Channel(recorder := Recorder())
    trainer = Sharded(model, stage, channel, rate)
    for x, y in batches:
        trainer.step(*deal(x, y, channel.rank, sizes), of=y.numel())
    held, sent = sum(layer.own.numel() for layer in trainer.layers), list(recorder.messages)
    return trainer.weights(), sent, held


def inside(
    model: nn.Sequential, train: Callable[[nn.Module, Batches], Tensor], trained: nn.Sequential, batches: Batches
) -> tuple[float, list[Message], int]:
    """On one worker: train its part of each block; how far that ends from its part of `trained`, what was sent, weights held."""
    channel = Channel(recorder := Recorder())
    mine = train(tensor_parallel.split(model, channel), batches)
    part = parameters_to_vector(tensor_parallel.split(trained, channel).parameters())
    return (mine - part).abs().max().item(), recorder.messages, len(mine)


def between(
    model: nn.Sequential, batches: Batches, rate: float, microbatches: int = 4
) -> tuple[Tensor, list[Message], int]:
    """On one worker: train its layers, one stage of a pipeline; their weights, what was sent, weights held."""
    channel = Channel(recorder := Recorder())
    mine = pipeline.stage_layers(model, channel.rank, channel.world)
    stage = pipeline.Stage(mine, channel, rate)
    for x, y in batches:
        stage.step(x, y, microbatches)
    weights = parameters_to_vector(stage.layers.parameters()).detach()
    return weights, recorder.messages, len(weights)


def larger(width: int) -> Iterator[nn.Module]:
    """Yield the layers of a GPT of 12 blocks, each built when it is asked for."""
    torch.manual_seed(0)
    yield from layers(WINDOW, len(ALPHABET), width, heads=4, blocks=12)


def four_windows() -> tuple[Tensor, Tensor]:
    """Return four windows of characters drawn at random, and what follows each: what training costs does not depend on the text."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(len(ALPHABET), (4, WINDOW + 1), generator=generator)
    return text[:, :-1].float(), text[:, 1:]


def peak(stage: int) -> int:
    """On one worker: the bytes of all tensors at the worst moment of two steps of the larger model."""
    trainer = Sharded(larger(128), stage, channel := Channel(Recorder()))
    x, y = (each.tensor_split(channel.world)[channel.rank] for each in four_windows())
    with memory.TensorMemory(trainer.held) as held:
        for _ in range(2):
            trainer.step(x, y, of=4 * WINDOW)
    return sum(held.peak.values())


def seconds_a_step(repeats: int = 8) -> list[float]:
    """On one worker alone: the seconds of each step of the larger model but the first, which takes longer."""
    trainer, taken = Sharded(larger(128), 0, Channel(Recorder())), []
    for _ in range(repeats):
        start = perf_counter()
        trainer.step(*four_windows(), of=4 * WINDOW)
        taken.append(perf_counter() - start)
    return taken[1:]


def stage_times(
    microbatches: int, schedule: Callable[[int, int, int], list[Any]], batches: Batches, rate: float
) -> tuple[list[list[Span]], int]:
    """On one worker, a stage of four layers or so: what it did in each step but the first, and how many microbatches it held at most."""
    channel = Channel(recorder := Recorder())
    torch.manual_seed(0)
    row = list(layers(WINDOW, len(ALPHABET), width=96, heads=4, blocks=6))
    mine = pipeline.stage_layers(row, channel.rank, channel.world)
    stage, done = pipeline.Stage(mine, channel, rate), []
    for x, y in batches:
        recorder.spans.clear()
        stage.step(x, y, microbatches, schedule)
        done.append([span for span in recorder.spans if span[0] in ("forward", "backward")])
    return done[1:], stage.most_held


def times_the_weights(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return how many times the weights' own bytes weights, gradients and Adam's state take together."""
    weights = list(model.parameters())
    gradients = torch.autograd.grad(cross_entropy(model(x).flatten(0, 1), y.flatten()), weights)
    adam = Adam(weights)
    held = [*weights, *gradients, *adam.means, *adam.squares]
    return sum(tensor.nbytes for tensor in held) / sum(weight.nbytes for weight in weights)


def by_stage(study: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the stored study "sharded" by number of workers and stage, in words."""
    return {
        (f"{workers} workers", _STAGES.get(stage, stage)): row
        for workers, rows in study["workers"].items()
        for stage, row in rows.items()
    }
