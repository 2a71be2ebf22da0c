"""How a process of torchrun joins the others, and which network interface it talks through."""

import os
import socket
from datetime import timedelta
from typing import Any, TypeVar

import psutil
import torch.distributed as dist

from course_lib.cluster import failures, transport

_NAME = "GLOO_SOCKET_IFNAME"
_Value = TypeVar("_Value")


def join(timeout: float | None = None) -> tuple[int, int]:
    """Return (rank, world size) of this process, after joining gloo if torchrun started it; (0, 1) on its own.

    `timeout`: seconds that joining, and from then on one collective, send or receive, may take under torchrun; by default 60,
    or what an earlier call said. Raises RuntimeError where the machines of a torchrun find no way to each other, with what
    to set, and WorkerError where not every process comes in time.
    """
    if dist.is_torchelastic_launched():
        if not dist.is_initialized():
            use()
            _meet(timeout or 60.0)
        elif timeout is not None:
            dist.distributed_c10d._set_pg_timeout(timedelta(seconds=timeout))
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _meet(timeout: float) -> None:
    limit = timedelta(seconds=timeout)
    try:
        dist.init_process_group("gloo", timeout=limit, **_fresh_store(limit))
    except RuntimeError as error:
        if not failures.is_time_out(error):
            raise
        raise failures.WorkerError(
            f"not all {os.environ['WORLD_SIZE']} processes were there within timeout={timeout:g} seconds: is one stuck before "
            "it joins? If it is only slow, pass a larger timeout.", -1, "hung", original=error,
        ) from error  # fmt: skip


def _fresh_store(limit: timedelta) -> dict[str, Any]:
    """Return where the processes of one machine meet, by an entry that no attempt before has used; nothing for several machines.

    When torchrun's agent starts the workers again, its store still holds the addresses of those that have died. Agents of several
    machines count their restarts each for itself, so that processes would look for each other under different numbers.
    """
    if not _alone():
        return {}
    store, rank, world = next(iter(dist.rendezvous("env://", timeout=limit)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return {"store": dist.PrefixStore(f"attempt {attempt}", store), "rank": rank, "world_size": world}


def _alone() -> bool:
    """Return whether one machine runs every process."""
    return os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")


def from_all(value: _Value) -> list[_Value]:
    """Return every process's value, in rank order. Raises WorkerError where one is gone, or silent past the time-out."""
    values = [value] * dist.get_world_size()
    try:
        dist.all_gather_object(values, value)
    except RuntimeError as error:
        raise failures.lost(dist.get_rank(), None, error) from error
    return values


def use() -> None:
    """Tell gloo the interface that reaches the other processes; left alone, it asks for the machine's name, which may not resolve.

    What the caller has put into GLOO_SOCKET_IFNAME stays. Where one machine runs every process it is loopback, so that nobody
    outside can listen. Raises RuntimeError where there is no way to the master, saying what to set.
    """
    if _NAME in os.environ:
        return
    os.environ[_NAME] = transport.LOOPBACK_INTERFACE if _alone() else _towards(os.environ["MASTER_ADDR"])


def _towards(master: str) -> str:
    """Return the interface from which this machine reaches `master`, which may be this machine itself."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(master, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing: it only asks the system which way it would go
            own = probe.getsockname()[0]
    except OSError as error:
        raise RuntimeError(f"this machine finds no way to the master {master!r} ({error}): {_remedy()}") from error
    for name, addresses in psutil.net_if_addrs().items():
        if name != transport.LOOPBACK_INTERFACE and own in [one.address.partition("%")[0] for one in addresses]:
            return name
    raise RuntimeError(
        f"the master {master!r} is this machine's own {own}, which no other machine reaches: {_remedy()}"
    )


def _remedy() -> str:
    known = [name for name in psutil.net_if_addrs() if name != transport.LOOPBACK_INTERFACE]
    return (
        "give torchrun an address of the first machine that the others reach, as --master-addr or in --rdzv-endpoint, or set "
        f"{_NAME} to the interface between them ({', '.join(known) or 'there is none but loopback'})"
    )
