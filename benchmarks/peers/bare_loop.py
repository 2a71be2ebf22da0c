"""A bare PyTorch loop over the same mini-batches: one model, one optimizer, no clients, no server, no averaging."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from course_lib.learning import sgd
from course_lib.rounds import preparation
from peers.workload import Measurement, Workload, examples, one_thread


def measure(workload: Workload) -> Measurement:
    """Run the workload's mini-batches through one model, one after the other, with only the steps on the clock.

    A "client update" here is as many steps as a client takes in a round. Drawing and gathering the batches, which any
    loop has to do, stays off the clock, so that nothing of this course makes the bare loop look slow.
    """
    one_thread()
    clock = Measurement(workload)
    cohorts = preparation.cohorts(workload.plan, workload.clients, workload.seed)
    model = workload.new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.learning_rate)
    busy = clock.started
    for round_index, cohort in enumerate(cohorts):
        batches = [batch for client in cohort for batch in minibatches(workload, client, round_index)]
        started = time.perf_counter()
        take_steps(model, optimizer, batches)
        busy += time.perf_counter() - started
        clock.tick(busy)
    clock.judge(model)
    return clock


def minibatches(workload: Workload, client: int, round_index: int) -> list[tuple[Tensor, Tensor]]:
    """Return the very batches that `rounds.fit` gives this client in this round, counted from 0."""
    _, _, clients = examples(workload)
    shard = clients[client]
    steps = workload.epochs * sgd.steps_an_epoch(len(shard), workload.batch_size)
    key = sgd.batch_key(workload.seed, client)
    return list(sgd.batches(shard.x, shard.y, workload.batch_size, round_index * steps, steps, key))


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Take one step on each batch, as any PyTorch tutorial does."""
    loss_of = nn.CrossEntropyLoss()
    for x, y in batches:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
