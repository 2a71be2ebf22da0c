"""Messages are handed over within a process and sent between two; that the round has ended is told to everybody."""

from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.cluster.traffic import Recorder
from course_lib.privacy.secure_aggregation import AbortedError
from course_lib.privacy.secure_aggregation.post import Post

HOSTS = {0: 0, 1: 1, 2: 1}


class Line:
    """Stands in for a Channel: keeps what is sent, and returns what it was given to receive."""

    def __init__(self, rank: int, arriving: tuple[Tensor, ...] = ()) -> None:
        self.sent: list[tuple[Any, int, str, str, str]] = []
        self.rank, self.waited, self._arriving = rank, 0, list(arriving)

    def isend(self, tensor: Tensor, to: int, *, kind: str, sender: str, receiver: str) -> "Line":
        self.sent.append((tensor.tolist(), to, kind, sender, receiver))
        return self

    def recv(self, source: int, *, kind: str) -> Tensor:
        return self._arriving.pop(0)

    def wait(self) -> None:
        self.waited += 1


def post(line: Any) -> tuple[Post, Recorder]:
    recorder = Recorder()
    return Post(recorder, line, HOSTS), recorder


def too_few() -> dict[int, Tensor]:
    raise AbortedError("only 2 clients")


def test_the_server_gets_every_message_in_order_and_clients_get_their_own() -> None:
    line, taken = Line(0, (torch.tensor([10]), torch.tensor([20]))), {}
    here, recorder = post(line)
    here.collect("keys", [0, 1, 2], make=lambda k: torch.tensor([k]), take=lambda k, m: taken.update({k: m.item()}))
    assert list(taken.items()) == [(0, 0), (1, 10), (2, 20)]
    assert [(m.sender, m.receiver, m.kind, m.bytes, m.crossed) for m in recorder.messages] == [
        ("client 0", "server", "keys", 8, False)
    ]
    taken.clear()
    messages = {k: torch.tensor([k + 5]) for k in HOSTS}
    here.distribute("all keys", [0, 1, 2], make=lambda: messages, take=lambda k, m: taken.update({k: m.item()}))
    assert taken == {0: 5}
    assert line.sent == [([k + 5], 1, "all keys", "server", f"client {k}") for k in (1, 2)] and line.waited == 2


def test_a_round_that_ends_is_told_to_every_receiver_and_raises_there_too() -> None:
    line = Line(0)
    with pytest.raises(AbortedError, match="only 2 clients"):
        post(line)[0].distribute("all keys", [0, 1, 2], make=too_few, take=lambda k, m: pytest.fail("took a message"))
    assert line.sent == [([], 1, "all keys", "server", f"client {k}") for k in (1, 2)] and line.waited == 2

    nothing = torch.zeros(0, dtype=torch.uint8)
    with pytest.raises(AbortedError, match="the server ended the round"):
        post(Line(1, (nothing, nothing)))[0].distribute(
            "all keys", [0, 1, 2], make=too_few, take=lambda k, m: pytest.fail("took a message")
        )


def test_a_client_s_process_sends_what_its_clients_make() -> None:
    line = Line(1)
    post(line)[0].collect(
        "keys", [0, 1, 2], make=lambda k: torch.tensor([k]), take=lambda k, m: pytest.fail("not here")
    )
    assert line.sent == [([k], 0, "keys", f"client {k}", "server") for k in (1, 2)] and line.waited == 2
