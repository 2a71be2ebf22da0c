"""Our Adam is torch's."""

import torch

from course_lib.distributed.adam import Adam
from tests.distributed.tiny_gpt import RATE, batches, loss_of, model, one_process


def test_twenty_steps_are_those_of_torchs_to_the_bit() -> None:
    ours = model()
    weights = list(ours.parameters())
    adam = Adam(weights, RATE)
    for x, y in batches():
        adam.step(torch.autograd.grad(loss_of(ours, x, y), weights))
    wanted = one_process(model(), batches()).weights
    assert torch.equal(torch.cat([weight.detach().reshape(-1) for weight in weights]), wanted)
