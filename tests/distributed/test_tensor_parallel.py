"""A model cut inside its layers is the whole model."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Message, Recorder
from course_lib.distributed.tensor_parallel import RowParallel, Shared, columns, split
from tests.distributed.tiny_gpt import BATCH, STEPS, WINDOW, Ended, batches, model, one_process

pytestmark = pytest.mark.slow


def cut(trained: nn.Sequential) -> tuple[Ended, Tensor, list[Message]]:
    """Train this worker's part; return how it ended, this worker's part of `trained`, and what was sent."""
    channel = Channel(recorder := Recorder())
    ended = one_process(split(model(), channel), batches())
    messages = list(recorder.messages)
    return ended, parameters_to_vector(split(trained, channel).parameters()).detach(), messages


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_losses_and_weights_are_those_of_the_whole_model_after_20_steps(workers):
    whole = model()
    reference = one_process(whole, batches())
    results = cluster.launch(cut, whole, workers=workers)
    for ended, part, messages in results:
        torch.testing.assert_close(ended.losses, reference.losses, rtol=0, atol=1e-5)
        torch.testing.assert_close(ended.weights, part, rtol=0, atol=1e-5)
        # Four sums a block and step, two each way, of the states of all positions; a ring sends 2 (W - 1) / W of each.
        states = BATCH * WINDOW * 20 * 4
        sent = sum(message.bytes for message in messages if message.direction == "out")
        assert sent == STEPS * 3 * 4 * states * 2 * (workers - 1) // workers
    assert all(ended.losses == results[0][0].losses for ended, *_ in results)
    if workers > 1:
        assert len(results[0][1]) < 0.7 * len(reference.weights)


def a_pair_of_layers() -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return output, gradient of the input and gradients of the weights of a column and a row parallel layer in a row."""
    channel = Channel(Recorder())
    torch.manual_seed(0)
    up, down, x = nn.Linear(6, 8), nn.Linear(8, 5), torch.randn(3, 6, requires_grad=True)
    pair = Shared(nn.Sequential(columns(up, channel), nn.GELU(), RowParallel(down, channel)), channel)
    out = pair(x)
    out.square().sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad, [parameter.grad for parameter in pair.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("workers", [2, 4])
def test_a_bias_is_added_once_and_every_gradient_is_that_of_the_whole_layers(workers):
    torch.manual_seed(0)
    up, down, x = nn.Linear(6, 8), nn.Linear(8, 5), torch.randn(3, 6, requires_grad=True)
    wanted = down(nn.functional.gelu(up(x)))
    wanted.square().sum().backward()
    assert x.grad is not None and up.weight.grad is not None and up.bias.grad is not None
    assert down.weight.grad is not None and down.bias.grad is not None
    for rank, (out, entering, gradients) in enumerate(cluster.launch(a_pair_of_layers, workers=workers)):
        torch.testing.assert_close(out, wanted.detach())
        torch.testing.assert_close(entering, x.grad)
        parts = [
            up.weight.grad.chunk(workers)[rank], up.bias.grad.chunk(workers)[rank],
            down.weight.grad.chunk(workers, 1)[rank], down.bias.grad,
        ]  # fmt: skip
        torch.testing.assert_close(gradients, parts)


def test_layers_without_a_bias_stay_without():
    def without() -> tuple[int, Tensor]:
        channel = Channel(Recorder())
        torch.manual_seed(0)
        up, down = nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False)
        pair = nn.Sequential(columns(up, channel), RowParallel(down, channel))
        return len(list(pair.parameters())), (pair(torch.ones(1, 4)) - down(up(torch.ones(1, 4)))).abs().max().detach()

    assert all(count == 2 and off < 1e-6 for count, off in cluster.launch(without))


def test_the_model_that_is_cut_stays_as_it_was_and_heads_that_cannot_be_dealt_are_refused():
    def refused() -> bool:
        channel = Channel(Recorder())
        whole = model()
        before = parameters_to_vector(whole.parameters()).detach().clone()
        with pytest.raises(ValueError, match="4 heads cannot be dealt to 3 workers"):
            split(whole, channel)
        with pytest.raises(ValueError, match="no blocks"):
            split(nn.Sequential(nn.Linear(2, 2)), channel)
        return torch.equal(parameters_to_vector(whole.parameters()), before)

    assert cluster.launch(refused, workers=3) == [True] * 3
