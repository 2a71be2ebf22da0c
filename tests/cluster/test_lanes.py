"""Lanes: what both ends have agreed on travels without a header, is recorded like any message, and is checked once."""

import os
import time
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from course_lib import cluster
from course_lib.cluster.traffic import Channel, InLane, Message, OutLane, Recorder, Span
from tests.waiting import until

pytestmark = pytest.mark.slow


def both_ways(channel: Channel, like: Tensor, kind: str = "gradient") -> tuple[OutLane, InLane]:
    """Return a lane to the other one of two ranks, and one from there."""
    peer = 1 - channel.rank
    return channel.open_out(peer, like, kind=kind), channel.open_in(peer, like, kind=kind)


@pytest.mark.parametrize("like", [
    torch.zeros(3), torch.tensor(1.0), torch.zeros(0), torch.zeros(2, 3, 0), torch.zeros(5, dtype=torch.bool),
    torch.zeros(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.complex128), torch.zeros(1_500_003),
])  # fmt: skip
def test_what_leaves_arrives_both_ways_at_once_and_the_sender_may_go_on_with_its_tensor(like: Tensor) -> None:
    def swap(like: Tensor) -> list[bool]:
        channel = Channel(Recorder())
        out, into = both_ways(channel, like)
        right = []
        for step in range(3):
            into.ready()
            tensor = torch.full_like(like, 10 * channel.rank + step)
            out.send(tensor)
            tensor.zero_()
            right.append(torch.equal(into.wait(), torch.full_like(like, 10 * (1 - channel.rank) + step)))
        out.wait()
        return right

    assert cluster.launch(swap, like) == [[True] * 3] * 2


def test_a_message_is_recorded_at_both_ends_and_what_opens_a_lane_is_none() -> None:
    def one() -> list[Message]:
        channel = Channel(recorder := Recorder())
        out = into = None
        if channel.rank == 0:
            out = channel.open_out(1, torch.zeros(2, 3), kind="update", sender="client 7", receiver="server")
        else:
            into = channel.open_in(0, torch.zeros(2, 3), kind="update")
        recorder.round = 4
        if out:
            out.send(torch.ones(2, 3))
            out.wait()
        if into:
            into.wait()
        return recorder.messages

    assert cluster.launch(one) == [
        [Message(4, "client 7", "server", "update", 24, True, direction)] for direction in ("out", "in")
    ]


def test_lanes_and_messages_of_their_own_do_not_meet() -> None:
    def mixed() -> list[float]:
        channel = Channel(Recorder())
        lanes = [both_ways(channel, torch.zeros(2)) for _ in range(2)] + [
            both_ways(Channel(Recorder()), torch.zeros(2))
        ]
        for number, (out, _) in enumerate(lanes):
            out.send(torch.full((2,), float(number)))
        handle = channel.isend(torch.tensor(9.0), 1 - channel.rank, kind="gradient")
        found = [channel.recv(1 - channel.rank, kind="gradient").item()]
        found += [float(into.wait()[0]) for _, into in reversed(lanes)]
        handle.wait()
        for out, _ in lanes:
            out.wait()
        return found

    assert cluster.launch(mixed) == [[9, 2, 1, 0]] * 2


def test_lanes_serve_a_part_of_the_cluster() -> None:
    def in_pairs() -> float:
        pairs = [dist.new_group([0, 2]), dist.new_group([1, 3])]
        channel = Channel(Recorder(), pairs[dist.get_rank() % 2])
        out, into = both_ways(channel, torch.zeros(1))
        out.send(torch.tensor([float(dist.get_rank())]))
        arrived = float(into.wait())
        out.wait()
        return arrived

    assert cluster.launch(in_pairs, workers=4) == [2, 3, 0, 1]


@pytest.mark.parametrize(("shape", "kind", "complaint"), [
    (4, "gradient", r"expected \(3,\) of torch.float32, but worker 0 sent \(4,\)"),
    (3, "update", "expected 'lane for gradient' from rank 0, but worker 0 sent 'lane for update"),
])  # fmt: skip
def test_ends_that_differ_are_told_when_the_lane_is_opened(shape: int, kind: str, complaint: str) -> None:
    def differ(shape: int, kind: str) -> None:
        channel = Channel(Recorder())
        if channel.rank == 0:
            channel.open_out(1, torch.zeros(shape), kind=kind).wait()
        else:
            channel.open_in(0, torch.zeros(3), kind="gradient")

    with pytest.raises(cluster.WorkerError, match=complaint):
        cluster.launch(differ, shape, kind)


def test_another_tensor_than_was_agreed_on_is_refused_before_it_leaves() -> None:
    def refused() -> None:
        channel = Channel(Recorder())
        out, _ = both_ways(channel, torch.zeros(3))
        for wrong in (torch.zeros(4), torch.zeros(3, dtype=torch.float64), torch.zeros(1, 3)):
            with pytest.raises(ValueError, match=rf"takes \(3,\) of torch.float32, not \({wrong.shape[0]},"):
                out.send(wrong)
        out.wait()  # until the other end has been opened
        with pytest.raises(ValueError, match="cannot send to itself"):
            channel.open_out(channel.rank, torch.zeros(3), kind="a")

    cluster.launch(refused)


def test_a_rank_that_dies_is_named_by_the_one_that_waits_for_it() -> None:
    def die() -> None:
        _, into = both_ways(Channel(Recorder()), torch.zeros(3))
        if dist.get_rank() == 1:
            os._exit(3)
        into.wait()

    with pytest.raises(cluster.WorkerError) as caught:
        cluster.launch(die)
    assert (caught.value.rank, caught.value.cause) == (1, "died")


def test_time_until_the_other_side_has_sent_is_waiting(tmp_path: Path) -> None:
    def straggle() -> tuple[list[Span], float, float]:
        channel = Channel(recorder := Recorder())
        out, into = both_ways(channel, torch.zeros(1_000_000))
        if channel.rank == 1:
            until((tmp_path / "the other one waits").exists)
            time.sleep(1)  # it says so just before it does
            before = time.time()
            out.send(torch.zeros(1_000_000))
            out.wait()
        else:
            before = time.time()
            (tmp_path / "the other one waits").touch()
            into.wait()
        return recorder.spans, before, time.time()

    (waiter, ready, done), (straggler, sent, _) = cluster.launch(straggle)
    (waiting, start, turn), (talking, again, end) = waiter
    assert (waiting, talking) == ("waiting", "talking")
    assert ready <= start <= sent <= turn == again < end <= done
    assert straggler == []


def test_what_a_lane_connects_goes_with_its_group() -> None:
    def connections() -> int:
        own = psutil.Process()
        before = len(own.net_connections())
        lanes = [both_ways(Channel(Recorder()), torch.zeros(3)) for _ in range(3)]
        for out, _ in lanes:
            out.wait()
        assert len(own.net_connections()) - before <= 4, "one more group, however many channels"
        return before

    counts = [cluster.launch(connections) for _ in range(3)]
    assert counts[0] == counts[1] == counts[2]


def test_a_long_message_can_be_worked_on_part_by_part_and_counts_once() -> None:
    def parts() -> tuple[list[float], list[int]]:
        channel = Channel(recorder := Recorder(keep_payloads=True))
        like = torch.zeros(2, 1_500_000)
        out, into = both_ways(channel, like)
        into.ready()
        sent, got = torch.ones(2, 1_500_000), []
        for number in range(3):
            out.send_part(sent, number)
            sent.view(-1)[: (number + 1) * (1 << 20)] = 5  # what has left may change
        for number, part in into.parts():
            got += [float(number), len(part), float(part.sum())]
        out.wait()
        return got, [message.bytes for message in recorder.messages]

    whole, rest = 1 << 20, 3_000_000 - 2 * (1 << 20)
    expected = [0, whole, whole, 1, whole, whole, 2, rest, rest]
    assert cluster.launch(parts) == [(expected, [12_000_000] * 2)] * 2
