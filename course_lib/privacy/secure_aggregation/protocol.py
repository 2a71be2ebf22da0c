"""The whole protocol for a cohort: in one process, or between real ones, with the server in a process of its own.

The messages and the sum are the same on any number of processes.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from course_lib import cluster
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.privacy.secure_aggregation import crypto, shamir
from course_lib.privacy.secure_aggregation.client import Client
from course_lib.privacy.secure_aggregation.errors import AbortedError
from course_lib.privacy.secure_aggregation.field import Quantiser
from course_lib.privacy.secure_aggregation.messages import DEALT_BYTES, KEYS_BYTES, pack, unpack
from course_lib.privacy.secure_aggregation.post import Post
from course_lib.privacy.secure_aggregation.server import Server
from course_lib.privacy.secure_aggregation.settings import Settings, usual_threshold

# What a client sends, in this order. One that drops out after "start" sends nothing at all.
STAGES = ("start", "advertise", "share", "mask", "unmask")


@dataclass(frozen=True)
class SecureSum:
    """What a secure aggregation gave, and what it took.

    `total`: the survivors' weighted sum, float64 `(m,)`; `weight`: the sum of their weights; `clipped`: the share of their
    values that were cut off at the bound; `survivors`: whose vectors are in the sum; `seen`: every masked vector that the
    server got, uint32 `(m + 2,)`, by client; `bytes`: by kind of message; `seconds`: by stage, in the server's process.
    """

    total: Tensor
    weight: int
    clipped: float
    survivors: tuple[int, ...]
    seen: dict[int, Tensor]
    bytes: dict[str, int]
    seconds: dict[str, float]


@dataclass
class _Outcome:
    """What one process has to say in the end."""

    result: SecureSum | None = None  # the server's process only, and only where there is a sum
    aborted: str = ""
    sent: Counter[str] = field(default_factory=Counter)


def secure_sum(
    vectors: Mapping[int, Tensor], quantiser: Quantiser, *, weights: Mapping[int, int] | None = None,
    threshold: int | None = None, drop_after: Mapping[int, str] | None = None, workers: int = 1,
    insecure_seed: int | None = None, round_index: int = 0, record: bool = True, timeout: float = 300.0,
) -> SecureSum:  # fmt: skip
    """Return the weighted sum of the clients' vectors `(m,)`, by secure aggregation.

    `weights`: whole numbers, by default 1; `threshold`: by default just above two thirds of the clients; `drop_after`: for a
    client that drops out, the last stage of STAGES whose message it sends; `workers`: with 1 everything happens here, with
    more the server has process 0 and the clients share the others; `insecure_seed`: for a run that repeats to the bit,
    masks and all, and protects nothing; `record`: keep what the server saw; `timeout`: as for `cluster.launch`.

    Raises ValueError for what cannot work, and AbortedError where too few clients are left.
    """
    weights = dict.fromkeys(vectors, 1) if weights is None else weights
    drop_after = dict(drop_after or {})
    if set(weights) != set(vectors) or not set(drop_after) <= set(vectors):
        raise ValueError("weights must name each client that has a vector, and drop_after only such clients")
    if wrong := [stage for stage in drop_after.values() if stage not in STAGES[:-1]]:
        raise ValueError(f"drop_after: {wrong[0]!r} is not one of {', '.join(STAGES[:-1])}")
    cohort = tuple(sorted(vectors))
    if len(sizes := {tuple(vector.shape) for vector in vectors.values()}) > 1 or any(len(size) != 1 for size in sizes):
        raise ValueError(f"vectors of {sorted(sizes)} cannot be added: all must be (m,), with one m")
    values = next(iter(sizes))[0] if sizes else 0
    threshold = usual_threshold(len(cohort)) if threshold is None else threshold
    settings = Settings(cohort, values, threshold, quantiser, max(weights.values(), default=1), round_index)
    # The server's process holds no client: what it knows is what it was sent.
    hosts = {client: 1 + place % (workers - 1) if workers > 1 else 0 for place, client in enumerate(cohort)}
    own = [{k: (vectors[k], weights[k]) for k in cohort if hosts[k] == rank} for rank in range(workers)]
    part = partial(_play, settings, hosts, drop_after, insecure_seed, record)
    if workers == 1:
        outcomes = [part(own[0])]
    else:
        outcomes = cluster.launch(part, workers=workers, per_rank=[(mine,) for mine in own], timeout=timeout)
    first = outcomes[0]
    if first.result is None:
        raise AbortedError(first.aborted)
    return replace(first.result, bytes=dict(sum((outcome.sent for outcome in outcomes), Counter())))


def _play(
    settings: Settings, hosts: Mapping[int, int], drop_after: Mapping[int, str], seed: int | None, record: bool,
    own: Mapping[int, tuple[Tensor, int]],
) -> _Outcome:  # fmt: skip
    """Play the part of this process: the clients in `own`, and in process 0 the server."""
    outcome, recorder = _Outcome(), Recorder()
    post = Post(recorder, Channel(recorder) if set(hosts.values()) != {0} else None, hosts)
    try:
        outcome.result = play(settings, drop_after, seed, own, post, Server(settings, record=record))
    except AbortedError as error:
        outcome.aborted = str(error)
    for message in recorder.messages:
        outcome.sent[message.kind] += message.bytes if message.direction == "out" else 0
    return outcome


def play(
    settings: Settings, drop_after: Mapping[int, str], seed: int | None, own: Mapping[int, tuple[Tensor, int]],
    post: Post, server: Server,
) -> SecureSum | None:  # fmt: skip
    """The four rounds, read from top to bottom. Process 0 alone uses `server`; it stays as it is elsewhere."""
    clients = {client: Client(client, settings, _source(seed, client, settings.round)) for client in own}
    # Who sends each stage's message: everybody knows the plan, which stands in for the server's patience.
    sends = {
        stage: [k for k in settings.clients if STAGES.index(stage) <= STAGES.index(drop_after.get(k, "unmask"))]
        for stage in STAGES
    }
    asked: dict[int, tuple[list[int], list[int]]] = {}
    lists: dict[int, dict[int, bytes]] = {}
    seconds: dict[str, float] = {}

    with _timed(seconds, "advertise"):
        post.collect(
            "keys", sends["advertise"],
            make=lambda k: _tensor(clients[k].advertise()), take=lambda k, m: server.receive_keys(k, _bytes(m)),
        )  # fmt: skip
    with _timed(seconds, "share"):
        post.distribute(
            "all keys", sends["advertise"],
            make=lambda: dict.fromkeys(sends["advertise"], pack(server.keys())),
            take=lambda k, m: lists.update({k: unpack(m, KEYS_BYTES, k)}),
        )  # fmt: skip
        post.collect(
            "shares", sends["share"],
            make=lambda k: pack(clients[k].share(lists[k])),
            take=lambda k, m: server.receive_shares(k, unpack(m, DEALT_BYTES, k)),
        )  # fmt: skip
    with _timed(seconds, "mask"):
        post.distribute(
            "dealt shares", sends["share"],
            make=lambda: {k: pack(dealt) for k, dealt in server.dealt().items()},
            take=lambda k, m: clients[k].receive(unpack(m, DEALT_BYTES, k)),
        )  # fmt: skip
        post.collect(
            "masked vector", sends["mask"],
            make=lambda k: clients[k].mask(*own[k]).view(torch.int32),  # a channel has no uint32
            take=lambda k, m: server.receive_masked(k, m.view(torch.uint32)),
        )  # fmt: skip
    with _timed(seconds, "unmask"):
        post.distribute(
            "survivors", sends["mask"],
            make=lambda: dict.fromkeys(sends["mask"], _listed(*server.request())),
            take=lambda k, m: asked.update({k: _read(m, k)}),
        )  # fmt: skip
        post.collect(
            "shares to unmask", sends["unmask"],
            make=lambda k: pack(clients[k].unmask(*asked[k])),
            take=lambda k, m: server.receive_unmask(k, unpack(m, shamir.SHARE_BYTES, k)),
        )  # fmt: skip
        if post.rank != 0:
            return None
        total = server.sum()
    survivors = tuple(sends["mask"])
    clipped = server.clipped / (settings.values * len(survivors))
    return SecureSum(total, server.weight, clipped, survivors, server.seen, {}, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


def _source(seed: int | None, client: int, round_index: int) -> crypto.Source:
    return crypto.system_source if seed is None else crypto.insecure_source(seed, client, round_index)


def _tensor(message: bytes) -> Tensor:
    return torch.frombuffer(bytearray(message), dtype=torch.uint8)


def _bytes(message: Tensor) -> bytes:
    return message.numpy().tobytes()


def _listed(survivors: list[int], dropped: list[int]) -> Tensor:
    return pack(dict.fromkeys(survivors, b"\1") | dict.fromkeys(dropped, b"\0"))


def _read(message: Tensor, client: int) -> tuple[list[int], list[int]]:
    flags = unpack(message, 1, client)
    return [k for k in flags if flags[k] == b"\1"], [k for k in flags if flags[k] == b"\0"]
