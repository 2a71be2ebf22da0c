"""How long two workers take to their first all-reduce: cold, warm, and with torch.multiprocessing.spawn.

    python benchmarks/launch.py

Each figure is the median over launches of the time in the parent, from the call to its return. The three take turns, so
that whatever else the machine does slows them alike. Last line: {"cold_s": …, "warm_ms": …, "spawn_over_warm": …}.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable

# Spawned processes import this file: nothing that only the parent needs stands up here.
import torch
import torch.distributed as dist
import torch.multiprocessing

WORKERS = 2


def first_all_reduce() -> float:
    """Return the sum over the workers of one."""
    total = torch.ones(1)
    dist.all_reduce(total)
    return total.item()


def spawned(rank: int, port: int) -> None:
    """Join gloo and do the same, in a process that was spawned for it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORKERS)
    assert first_all_reduce() == WORKERS
    dist.destroy_process_group()


def spawn() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(spawned, args=(port,), nprocs=WORKERS)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    from course_lib import cluster

    def launch() -> None:
        assert cluster.launch(first_all_reduce, workers=WORKERS) == [WORKERS] * WORKERS

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--turns", type=int, default=7, help="turns of one cold, one spawned and 30 warm launches")
    turns = options.parse_args().turns

    cold, spawning, warm = [], [], []
    for _ in range(turns):
        cluster.shutdown()
        cold.append(seconds(launch))
        spawning.append(seconds(spawn))
        warm += [seconds(launch) for _ in range(30)]
    cluster.shutdown()

    for name, times in (("cold", cold), ("spawn", spawning), ("warm", warm)):
        print(
            f"{name:>5}: median {statistics.median(times) * 1e3:7.1f} ms, "
            f"from {min(times) * 1e3:.1f} to {max(times) * 1e3:.1f} ms over {len(times)} launches"
        )
    figures = {
        "cold_s": round(statistics.median(cold), 3),
        "warm_ms": round(statistics.median(warm) * 1e3, 2),
        "spawn_over_warm": round(statistics.median(spawning) / statistics.median(warm), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    # The same surroundings for both: one thread a worker, and no look-up of the machine's name.
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}
    main()
