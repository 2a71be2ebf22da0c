"""How fast is the ring of `cluster.collectives`, which sends and receives in Python, beside gloo's own all-reduce in C++?

    python benchmarks/collectives.py              two workers: half a minute on two cores
    python benchmarks/collectives.py --workers 4  a ring that is one: with two, left and right are the same neighbour
    python benchmarks/collectives.py --quick      a check that it runs

Both add up the same vectors of 32-bit floats in the same processes, taking turns a few all-reduces at a time, so that a machine
that is slow for a moment is slow for both. A figure is the median over turns of the ratio within a turn; both are warm: the
connections stand, and the ring has opened its lanes. The sums must agree.

The last line is JSON: {"over_gloo": {"1e4": ..., "1e6": ..., "1e7": ...}}, our time over gloo's.
"""

import argparse
import json
import time
from statistics import median

import torch
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster.collectives import ring_all_reduce
from course_lib.cluster.traffic import Channel, Recorder

# Floats, and how many all-reduces make a turn.
SIZES = {"1e4": (10_000, 20), "1e6": (1_000_000, 4), "1e7": (10_000_000, 1)}
Turn = tuple[float, float]


def on_a_worker(values: int, each: int, turns: int) -> list[Turn]:
    """Return the seconds of one all-reduce in each turn: ours, gloo's. Raises RuntimeError where their sums differ."""
    channel = Channel(Recorder())
    vector = torch.rand(values, generator=torch.Generator().manual_seed(channel.rank))
    ours, theirs = vector.clone(), vector.clone()
    ring_all_reduce(channel, ours)
    dist.all_reduce(theirs)
    if not torch.allclose(ours, theirs):
        raise RuntimeError(f"the ring's sum of {values} floats is not gloo's")
    found = []
    for _ in range(turns):
        seconds = []
        for reduce in (lambda tensor: ring_all_reduce(channel, tensor), dist.all_reduce):
            ours.copy_(vector)
            dist.barrier()
            started = time.perf_counter()
            for _ in range(each):
                reduce(ours)
            seconds.append((time.perf_counter() - started) / each)
        found.append((seconds[0], seconds[1]))
        channel.recorder.messages.clear()
        channel.recorder.spans.clear()
    return found


def figures(turns: dict[str, list[Turn]]) -> dict[str, dict[str, float]]:
    """Return the medians over turns of our time over gloo's, for each size."""
    return {"over_gloo": {size: round(median(ours / gloo for ours, gloo in each), 2) for size, each in turns.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=40, help="turns for each size")
    parser.add_argument("--quick", action="store_true", help="three turns, and no vector above 1e6")
    arguments = parser.parse_args()
    sizes = {size: job for size, job in SIZES.items() if not arguments.quick or job[0] <= 1_000_000}
    measured = {}
    for size, (values, each) in sizes.items():
        turns = cluster.launch(
            on_a_worker, values, each, 3 if arguments.quick else arguments.turns, workers=arguments.workers
        )[0]
        measured[size] = turns
        ours, gloo = (1000 * median(times) for times in zip(*turns, strict=True))
        print(f"{size} floats, {arguments.workers} workers: ring {ours:.2f} ms, gloo {gloo:.2f} ms", flush=True)
    print(json.dumps(figures(measured)))


if __name__ == "__main__":
    main()
