"""Messages are counted where they leave and enter, and the timeline says where the time went."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster import traffic
from course_lib.cluster.traffic import Channel, Message, Recorder
from tests.waiting import until

pytestmark = pytest.mark.slow

TENSORS = [
    torch.tensor(2.5), torch.zeros(0), torch.zeros(3, 0), torch.arange(6).reshape(2, 3).T, torch.tensor([True, False]),
    torch.ones(3, dtype=torch.bfloat16), torch.tensor([1 + 2j]), torch.ones(2, requires_grad=True),
    torch.arange(960, dtype=torch.float32), torch.arange(961, dtype=torch.float32), torch.arange(300_000),
]  # fmt: skip


def send_all(tensors: list[torch.Tensor]) -> tuple[list[Message], list[torch.Tensor]]:
    recorder = Recorder(keep_payloads=True)
    channel = Channel(recorder)
    recorder.round = 7
    if channel.rank == 0:
        handles = [channel.isend(tensor, 1, kind="update", sender="client 3", receiver="server") for tensor in tensors]
        for handle in handles:
            handle.wait()
        return recorder.messages, recorder.payloads
    return recorder.messages, [channel.recv(0, kind="update") for _ in tensors]


def test_tensors_of_every_type_and_shape_arrive_as_they_left_without_being_announced():
    (_, sent), (_, received) = cluster.launch(send_all, TENSORS)
    for original, kept, arrived in zip(TENSORS, sent, received, strict=True):
        assert arrived.dtype == original.dtype and arrived.shape == original.shape
        assert torch.equal(arrived, original.detach()) and torch.equal(kept, original.detach())


def test_both_sides_record_the_same_messages_with_the_payload_s_bytes():
    (sent, _), (received, _) = cluster.launch(send_all, TENSORS)
    assert [message.bytes for message in sent] == [tensor.numel() * tensor.element_size() for tensor in TENSORS]
    assert {message.direction for message in sent} == {"out"} and {message.direction for message in received} == {"in"}
    for out, into in zip(sent, received, strict=True):
        assert (out.sender, out.receiver, out.kind, out.bytes, out.crossed) == (
            "client 3",
            "server",
            "update",
            out.bytes,
            True,
        )
        assert (into.sender, into.receiver, into.kind, into.bytes, into.crossed) == (
            *("client 3", "server", "update"),
            out.bytes,
            True,
        )
    assert sent[0].round == 7


def test_participants_are_workers_unless_they_are_named():
    def one_message() -> Message:
        recorder = Recorder()
        channel = Channel(recorder)
        if channel.rank == 0:
            channel.send(torch.ones(2), 1, kind="gradient")
        else:
            channel.recv(0, kind="gradient")
        return recorder.messages[0]

    out, into = cluster.launch(one_message)
    assert out == Message(0, "worker 0", "worker 1", "gradient", 8, True, "out")
    assert into == Message(0, "worker 0", "worker 1", "gradient", 8, True, "in")


def test_a_kind_that_was_not_expected_is_named_with_its_sender():
    def mismatch() -> None:
        channel = Channel(Recorder())
        if channel.rank == 0:
            channel.send(torch.ones(2), 1, kind="model", sender="server")
        else:
            channel.recv(0, kind="update")

    with pytest.raises(cluster.WorkerError, match="expected 'update' from rank 0, but server sent 'model'") as caught:
        cluster.launch(mismatch)
    assert caught.value.rank == 1


@pytest.mark.parametrize(
    ("send", "error", "message"),
    [
        (lambda channel: channel.send(torch.ones(1), 0, kind="a"), ValueError, "rank 0 cannot send to itself"),
        (lambda channel: channel.recv(2, kind="a"), ValueError, "ranks go from 0 to 1"),
        (lambda channel: channel.send(torch.ones(1), 1, kind="a" * 300), ValueError, "use shorter names"),
        (lambda channel: channel.send(torch.ones([1] * 9), 1, kind="a"), ValueError, "at most 8 dimensions"),
        (
            lambda channel: channel.send(torch.ones(1).to(torch.uint16), 1, kind="a"),
            ValueError,
            "cannot send torch.uint16",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_value(send, error, message):
    def refused() -> None:
        if dist.get_rank() == 0:
            with pytest.raises(error, match=message):
                send(Channel(Recorder()))

    cluster.launch(refused)


def test_a_channel_outside_a_cluster_says_what_it_needs():
    with pytest.raises(RuntimeError, match=r"cluster\.launch"):
        Channel(Recorder())


def test_a_channel_can_serve_a_part_of_the_cluster():
    def in_pairs() -> float:
        pairs = [dist.new_group([0, 2]), dist.new_group([1, 3])]
        channel = Channel(Recorder(), pairs[dist.get_rank() % 2])
        if channel.rank == 0:
            channel.send(torch.tensor(float(dist.get_rank())), 1, kind="a")
            return -1.0
        return channel.recv(0, kind="a").item()

    assert cluster.launch(in_pairs, workers=4) == [-1, -1, 0, 1]


def test_a_header_costs_less_than_150_microseconds(as_meant: Callable[[float], float]):
    def microseconds() -> list[tuple[float, float]]:
        channel, group = Channel(Recorder()), dist.group.WORLD
        tensor = torch.ones(10)
        assert group is not None
        pairs = []
        for _ in range(250):  # short looks: on a busy machine some fall between the others' turns
            times = []
            for through_channel in (False, True):
                dist.barrier()
                start = time.perf_counter()
                for _ in range(10):
                    if not through_channel:
                        (group.send if channel.rank == 0 else group.recv)([tensor], 1 - channel.rank, 0).wait()
                    elif channel.rank == 0:
                        channel.send(tensor, 1, kind="a")
                    else:
                        channel.recv(0, kind="a")
                times.append((time.perf_counter() - start) * 1e5)
            pairs.append((times[0], times[1]))
        return pairs

    bare, channel = (min(times) for times in zip(*cluster.launch(microseconds)[0], strict=True))
    print(f"bare {bare:.0f} us, channel {channel:.0f} us")
    assert as_meant(channel - bare) < 150


def test_a_message_within_a_process_is_counted_but_has_not_crossed():
    recorder = Recorder(keep_payloads=True)
    tensor = torch.zeros(5)
    recorder.record("server", "client 1", "model", tensor, crossed=False)
    tensor += 1
    assert recorder.messages == [Message(0, "server", "client 1", "model", 20, False, "out")]
    assert recorder.payloads[0].tolist() == [0] * 5
    assert Recorder().payloads == []


def test_phases_never_overlap_and_an_inner_one_interrupts_the_outer():
    recorder = Recorder()
    with recorder.phase("computing"):
        time.sleep(0.02)
        with recorder.phase("talking"):
            time.sleep(0.01)
        time.sleep(0.02)
    assert [name for name, _, _ in recorder.spans] == ["computing", "talking", "computing"]
    assert all(end >= start for _, start, end in recorder.spans)
    assert all(before[2] <= after[1] for before, after in zip(recorder.spans, recorder.spans[1:], strict=False))
    assert sum(end - start for name, start, end in recorder.spans if name == "computing") >= 0.04


def test_a_phase_that_fails_is_closed():
    recorder = Recorder()
    with pytest.raises(KeyError), recorder.phase("computing"):
        raise KeyError
    failed = time.time()
    time.sleep(0.02)
    with recorder.phase("talking"):
        pass
    assert [name for name, _, _ in recorder.spans] == ["computing", "talking"]
    assert recorder.spans[0][2] <= failed and recorder.spans[1][1] >= failed + 0.02


def test_time_until_the_other_side_is_there_is_waiting_and_clocks_agree_between_processes(tmp_path: Path):
    def straggle() -> tuple[list[traffic.Span], float, float]:
        recorder = Recorder()
        channel = Channel(recorder)
        before = time.time()
        if channel.rank == 1:
            with recorder.phase("computing"):
                until((tmp_path / "the other one waits").exists)
                time.sleep(0.3)
                before = time.time()
                channel.send(torch.zeros(1_000_000), 0, kind="update")
        else:
            (tmp_path / "the other one waits").touch()
            channel.recv(1, kind="update")
        return recorder.spans, before, time.time()

    (waiter, ready, done), (straggler, sent, _) = cluster.launch(straggle)
    (waiting, start, turn), (talking, again, end) = waiter
    assert (waiting, talking) == ("waiting", "talking") and ready <= start < turn == again < end <= done
    name, began, computed = straggler[0]
    assert name == "computing" and began + 0.29 < sent <= computed
    assert sent <= turn, "who waits is served after the other has computed"
    assert {name for name, _, _ in straggler} == {"computing", "waiting", "talking"}


def test_messages_and_timelines_become_tables():
    table = traffic.frame([Message(1, "server", "client 1", "model", 20, True)])
    assert table.to_dict("records") == [
        {
            "round": 1,
            "sender": "server",
            "receiver": "client 1",
            "kind": "model",
            "bytes": 20,
            "crossed": True,
            "direction": "out",
        }
    ]
    assert list(traffic.frame([]).columns) == list(table.columns)
    timeline = traffic.timeline_frame([[("computing", 100.0, 101.0)], [("waiting", 100.5, 102.0)]])
    assert timeline.to_dict("records") == [
        {"rank": 0, "name": "computing", "start": 0.0, "end": 1.0},
        {"rank": 1, "name": "waiting", "start": 0.5, "end": 2.0},
    ]


def test_a_timeline_picture_comes_with_its_summary_in_words():
    spans = [[("computing", 100.0, 101.5), ("evaluating", 101.5, 102.0)], [("waiting", 100.0, 101.0)], []]
    figure, text = traffic.timeline_picture(spans)
    assert text == (
        "Of 2.00 seconds, rank 0: 75% computing, 25% evaluating; rank 1: 50% waiting; rank 2: nothing recorded."
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rank 0", "rank 1", "rank 2"]
    legend = axes.get_legend()
    assert legend is not None
    assert [entry.get_text() for entry in legend.get_texts()] == ["computing", "waiting", "evaluating"]
    assert traffic.timeline_text([[]]) == "No activity was recorded."
    traffic.timeline_picture([[]])
