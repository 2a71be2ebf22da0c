"""A model cut between its layers is the whole model, in whatever order the pieces are done."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Message, Recorder, Span
from course_lib.distributed.pipeline import (
    Schedule,
    Stage,
    bubble,
    gpipe,
    measured_bubble,
    one_forward_one_backward,
    stage_layers,
)  # fmt: skip
from tests.distributed.tiny_gpt import BATCH, RATE, STEPS, WINDOW, batches, model, one_process

SCHEDULES = [gpipe, one_forward_one_backward]


def piped(schedule: Schedule, microbatches: int) -> tuple[list[float], Tensor, int, list[Message], list[Span]]:
    channel = Channel(recorder := Recorder())
    stage = Stage(stage_layers(model(), channel.rank, channel.world), channel, RATE)
    losses = [stage.step(x, y, microbatches, schedule) for x, y in batches()]
    weights = parameters_to_vector(stage.layers.parameters()).detach()
    return losses, weights, stage.most_held, recorder.messages, recorder.spans


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("workers", "microbatches"), [(1, 3), (2, 1), (2, 4), (4, 3), (4, 10)])
def test_losses_and_weights_are_those_of_the_whole_model_after_20_steps(workers, microbatches, schedule):
    """Also with fewer microbatches than stages, and with some larger than others."""
    reference = one_process(model(), batches())
    results = cluster.launch(piped, schedule, microbatches, workers=workers)
    torch.testing.assert_close(results[-1][0], reference.losses, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat([weights for _, weights, *_ in results]), reference.weights, rtol=0, atol=1e-5)
    for stage, (_, _, held, messages, _) in enumerate(results):
        assert held == (microbatches if schedule is gpipe else min(workers - stage, microbatches))
        neighbours = (stage > 0) + (stage < workers - 1)
        assert sum(m.bytes for m in messages if m.direction == "out") == STEPS * neighbours * BATCH * WINDOW * 20 * 4


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("microbatches", [1, 3, 8])
def test_a_schedule_does_every_piece_once_and_never_waits_in_a_circle(schedule, stages, microbatches):
    orders = [list(schedule(stage, stages, microbatches)) for stage in range(stages)]
    for order in orders:
        assert len(set(order)) == len(order) == 2 * microbatches
        for way in ("forward", "backward"):  # messages arrive in the order in which they were sent
            assert [piece.microbatch for piece in order if piece.way == way] == list(range(microbatches))
    done: set[tuple[int, str, int]] = set()
    while any(orders):
        ready = [
            stage for stage, order in enumerate(orders) if order and all(
                each in done for each in (
                    [(stage - 1, "forward", order[0].microbatch)] * (stage > 0) if order[0].way == "forward"
                    else [(stage, "forward", order[0].microbatch)]
                    + [(stage + 1, "backward", order[0].microbatch)] * (stage < stages - 1)
                )
            )
        ]  # fmt: skip
        assert ready, "every stage waits for another"
        for stage in ready:
            piece = orders[stage].pop(0)
            done.add((stage, piece.way, piece.microbatch))


@pytest.mark.parametrize(("stages", "microbatches", "idle"), [(1, 5, 0), (2, 1, 0.5), (4, 1, 0.75), (4, 13, 3 / 16)])
def test_the_bubble_is_the_formula_s_and_is_found_in_a_timeline_of_equal_pieces(stages, microbatches, idle):
    assert bubble(stages, microbatches) == pytest.approx(idle)
    spans: list[list[Span]] = []
    for stage in range(stages):  # GPipe, forwards and backwards of a second each
        turn = microbatches + stages - 1
        forwards = [("forward", stage + k, stage + k + 1.0) for k in range(microbatches)]
        backwards = [
            ("backward", turn + stages - 1 - stage + k, turn + stages - stage + k) for k in range(microbatches)
        ]
        spans.append([("waiting", 0.0, 0.1), *forwards, *backwards])
    assert measured_bubble(spans) == pytest.approx(idle)


def test_a_timeline_without_work_is_refused():
    with pytest.raises(ValueError, match="no forward"):
        measured_bubble([[("waiting", 0.0, 1.0)]])


@pytest.mark.slow
def test_every_stage_records_what_it_did_in_the_order_of_its_schedule():
    for stage, (*_, spans) in enumerate(cluster.launch(piped, one_forward_one_backward, 4)):
        worked = [name for name, _, _ in spans if name in ("forward", "backward")]
        assert worked == [piece.way for piece in one_forward_one_backward(stage, 2, 4)] * STEPS
        assert all(one[2] <= two[1] for one, two in pairwise(spans))


@pytest.mark.parametrize(("layers", "stages"), [(5, 2), (7, 4), (4, 4), (3, 1)])
def test_layers_are_dealt_whole_in_order_and_about_evenly(layers, stages):
    dealt = [
        list(stage_layers(nn.Sequential(*map(nn.Linear, range(1, 1 + layers), range(1, 1 + layers))), s, stages))
        for s in range(stages)
    ]
    assert [layer.in_features for part in dealt for layer in part] == list(range(1, 1 + layers))
    sizes = [len(part) for part in dealt]
    assert max(sizes) - min(sizes) <= 1


def test_fewer_layers_than_stages_are_refused():
    with pytest.raises(ValueError, match="3 layers cannot be dealt to 4 stages"):
        stage_layers([nn.ReLU()] * 3, 0, 4)


@pytest.mark.slow
def test_a_stage_without_weights_hands_on_what_comes():
    def classify() -> list[float]:
        channel = Channel(Recorder())
        torch.manual_seed(0)
        net = [nn.Flatten(), nn.Tanh(), nn.Linear(4, 3)]
        stage = Stage(stage_layers(net, channel.rank, channel.world), channel)
        x, y = torch.ones(3, 2, 2), torch.tensor([0, 1, 1])
        return [stage.step(x, y, 2) for _ in range(3)]

    losses = cluster.launch(classify, workers=3)[-1]
    assert losses[0] > losses[1] > losses[2] > 0


@pytest.mark.slow
@pytest.mark.parametrize("microbatches", [0, 11])
def test_more_microbatches_than_examples_or_none_are_refused(microbatches):
    def refused(microbatches: int) -> str:
        channel = Channel(Recorder())
        x, y = batches(1)[0]
        with pytest.raises(ValueError, match="10 examples with targets for 9"):
            Stage(stage_layers(model(), channel.rank, channel.world), channel).step(x, y[:9], 1)
        with pytest.raises(ValueError) as caught:
            Stage(stage_layers(model(), channel.rank, channel.world), channel).step(x, y, microbatches)
        return str(caught.value)

    assert f"10 examples cannot be cut into {microbatches} microbatches" in cluster.launch(refused, microbatches)[0]


def changing(schedule: Schedule) -> Tensor:
    """Steps on batches of other sizes and, in the end, of shorter windows, as all stages see them."""
    channel = Channel(Recorder())
    stage = Stage(stage_layers(linear(), channel.rank, channel.world), channel, RATE)
    for step, (size, length) in enumerate([(8, 5), (8, 5), (6, 5), (8, 5), (8, 3), (8, 3), (7, 3), (8, 5)]):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(size, length, 4, generator=generator)
        stage.step(x, torch.randint(3, (size, length), generator=generator), 4, schedule)
    return parameters_to_vector(stage.layers.parameters()).detach()


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Linear(5, 3))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_batches_may_change_in_size_and_shape_from_step_to_step(schedule):
    """What has been agreed on for one shape must not serve another."""
    (alone,) = cluster.launch(changing, schedule, workers=1)
    parts = cluster.launch(changing, schedule, workers=2)
    torch.testing.assert_close(torch.cat(parts), alone, rtol=0, atol=1e-6)
