"""What does a worker hold, send and take, when model, gradient and Adam's state are sharded? ZeRO by hand and torch's fully_shard.

    python benchmarks/sharded.py            two and four workers, seven timed steps each in turn: about two minutes
    python benchmarks/sharded.py --quick    a tiny model, one timed step
    python benchmarks/sharded.py --store    write what lesson 05 looks up as well

The model is a GPT of 2.4 million weights in 12 blocks, built layer by layer; a batch is 4 windows of 16 characters, dealt
evenly. "none" is data parallel by hand: the ring all-reduce of lesson 02, and Adam on all weights of every worker.

- `peak`: bytes of all live tensors of a worker when there were most, activations and temporary ones included, over two
  steps (`distributed.memory.TensorMemory`); of the worker with most. `over_unsharded` divides it by the 16 bytes a weight
  that weights, gradient and Adam's two moments take in one piece.
- `process`: by how much the process itself grew, at its largest (ru_maxrss), from before the model was built to after the two steps:
  with the allocator's gaps, the libraries that are loaded for the first step, and the counting itself. Each launch has fresh
  processes.
- `sent`: bytes that a worker sends in a step, as its Recorder counts them; `on_the_wire`: those that the kernel counted
  on all TCP connections of the process, with headers and repeats (tcpi_bytes_sent; Linux only, else null). For fully_shard
  only the latter is known: gloo's reduce-scatter is an all-reduce of which a part is kept, so it sends more.
- `seconds_over_none`: the median step over the median step of "none" in the same processes, taking turns.

The last line is JSON, by number of workers and stage.
"""

import argparse
import json
import os
import resource
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn

from course_lib import classroom, cluster
from course_lib.cluster.traffic import Channel, Recorder
from course_lib.distributed.memory import TensorMemory
from course_lib.distributed.sharded import Sharded, fully_sharded
from course_lib.models.gpt import layers

STORED = Path(classroom.__file__).parent / "studies/sharded.json"
WORKERS, STAGES = (2, 4), {"none": 0, "1": 1, "2": 2, "3": 3}
WINDOW, CHARACTERS, BATCH = 16, 37, 4
PATIENCE = 600.0  # seconds: a busy machine takes its time
SIZES, QUICK_SIZES = (128, 4, 12), (32, 4, 2)  # width, heads, blocks
Sizes = tuple[int, int, int]
Step = Callable[[], float]


def build(sizes: Sizes) -> Iterator[nn.Module]:
    torch.manual_seed(0)
    yield from layers(WINDOW, CHARACTERS, *sizes)


def weights(sizes: Sizes) -> int:
    return sum(parameter.numel() for layer in build(sizes) for parameter in layer.parameters())


def own_examples() -> tuple[Tensor, Tensor]:
    text = torch.randint(CHARACTERS, (BATCH, WINDOW + 1), generator=torch.Generator().manual_seed(1))
    own = text.tensor_split(dist.get_world_size())[dist.get_rank()]
    return own[:, :-1].float(), own[:, 1:]


def on_the_wire() -> int | None:
    """Return the bytes that this process has sent on its TCP connections so far, None where the kernel does not say."""
    if not sys.platform.startswith("linux"):
        return None
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptor = int(name)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                total += struct.unpack_from("Q", info, 200)[0]  # tcpi_bytes_sent, since Linux 4.19
        except (OSError, struct.error):
            continue  # closed meanwhile, or no TCP connection
    return total


def stepping(stage: str, sizes: Sizes, channel: Channel) -> tuple[Step, Callable[[], dict[str, list[Tensor]]]]:
    """Return what takes a step, and what names the tensors that are held."""
    x, y = own_examples()
    of = BATCH * WINDOW
    if stage != "fully_shard":
        trainer = Sharded(build(sizes), STAGES[stage], channel)
        return lambda: trainer.step(x, y, of), trainer.held
    model = fully_sharded(
        nn.Sequential(*build(sizes))
    )  # whole at first, and gathered layers count with the activations
    adam = torch.optim.Adam(model.parameters(), lr=0.003)

    def step() -> float:
        adam.zero_grad()
        total = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
        loss = total * (dist.get_world_size() / of)  # the gradients are averaged
        loss.backward()
        adam.step()
        return loss.item()

    def tensors() -> dict[str, list[Tensor]]:
        weights: list[Tensor] = list(model.parameters())
        states = [value for state in adam.state.values() for value in state.values()]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        return {"weights": weights, "gradients": gradients, "Adam state": states}

    return step, tensors


def held(stage: str, sizes: Sizes) -> dict[str, Any]:
    """On a worker: what it holds at the worst moment of two steps, and what a step sends."""
    before = psutil.Process().memory_info().rss
    step, tensors = stepping(stage, sizes, Channel(recorder := Recorder()))
    with TensorMemory(tensors) as memory:
        step()
        step()
    unit = 1 if sys.platform == "darwin" else 1024
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    dist.barrier()
    recorder.messages.clear()
    wire = on_the_wire()
    step()
    sent = sum(message.bytes for message in recorder.messages if message.direction == "out")
    by_kernel = None if wire is None else (on_the_wire() or 0) - wire
    return {"peak": memory.peak, "process": grown, "sent": sent or None, "on_the_wire": by_kernel}


def timed(sizes: Sizes, repeats: int) -> dict[str, list[float]]:
    """On a worker: seconds of each step, the stages taking turns."""
    channel = Channel(Recorder())
    steps = {stage: stepping(stage, sizes, channel)[0] for stage in (*STAGES, "fully_shard")}
    seconds: dict[str, list[float]] = {stage: [] for stage in steps}
    for repeat in range(repeats + 1):
        for stage, step in steps.items():
            dist.barrier()
            start = time.perf_counter()
            step()
            if repeat:  # the first step is longer
                seconds[stage].append(time.perf_counter() - start)
        channel.recorder.messages.clear()
    return seconds


def measure(workers: int, sizes: Sizes, repeats: int) -> dict[str, dict[str, Any]]:
    """Return the figures of each stage for so many workers."""
    unsharded, found = 16 * weights(sizes), dict[str, dict[str, Any]]()
    for stage in (*STAGES, "fully_shard"):
        cluster.shutdown()
        most = max(
            cluster.launch(held, stage, sizes, workers=workers, timeout=PATIENCE),
            key=lambda one: sum(one["peak"].values()),
        )
        total = sum(most["peak"].values())
        found[stage] = {"bytes": total, "over_unsharded": round(total / unsharded, 4)} | most
        print(
            f"{workers} workers, {stage:>11}: {total / 1e6:6.1f} MB, {total / unsharded:.3f} of unsharded", flush=True
        )
    seconds = cluster.launch(timed, sizes, repeats, workers=workers, timeout=PATIENCE)
    cluster.shutdown()
    medians = {stage: max(median(own[stage]) for own in seconds) for stage in found}
    for stage, own in found.items():
        own["seconds_over_none"] = round(medians[stage] / medians["none"], 2)
        print(f"{workers} workers, {stage:>11}: {1000 * medians[stage]:.0f} ms a step", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and one timed step")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each stage")
    parser.add_argument("--store", action="store_true", help="write what lesson 05 looks up")
    arguments = parser.parse_args()
    sizes, repeats = (QUICK_SIZES, 1) if arguments.quick else (SIZES, arguments.repeats)
    by_workers = {str(workers): measure(workers, sizes, repeats) for workers in WORKERS}
    if arguments.store:
        study = {
            "command": f"python benchmarks/{Path(__file__).name} --store", "versions": {"torch": version("torch")},
            "sizes": sizes, "weights": weights(sizes), "batch": BATCH, "window": WINDOW, "workers": by_workers,
        }  # fmt: skip
        STORED.write_text(json.dumps(study, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"unsharded_bytes": 16 * weights(sizes)} | by_workers))


if __name__ == "__main__":
    main()
