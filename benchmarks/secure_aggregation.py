"""What does it cost that the server learns the sum and nothing else? Seconds and bytes of secure aggregation over a plain sum.

    python benchmarks/secure_aggregation.py                     10, 50 and 200 clients, three turns; most of it is Flower
    python benchmarks/secure_aggregation.py --clients 10 50     fewer clients
    python benchmarks/secure_aggregation.py --no-flower         without Flower: about a minute on a quiet core
    python benchmarks/secure_aggregation.py --quick             10 clients, 1,000 weights, one turn, without Flower
    python benchmarks/secure_aggregation.py --store             what lesson 13 shows, up to 200 clients, without Flower: two minutes

Each client has a vector of 199,210 weights, the size of the 2NN. All parties run one after the other in one process, on one
thread, so seconds are those of all clients and of the server together. They are the processor's: what a quiet machine's clock
shows, too, while the clock of a busy one, which is printed beside them, shows more. `seconds_a_client` is an n-th of what
clients do, that is of all but the last stage: what each would wait for on a machine of its own. Bytes are those of messages,
without headers. Nothing is trained.

- plain: every client sends 4 bytes a weight, the server adds up in double precision.
- ours: `secure_sum`, as many levels as the ring holds, threshold just above two thirds; every pair of clients shares a mask.
- ours, dropouts: a tenth of the clients share keys and then drop out, so the server removes each of their pairs' masks.
- Flower, all pairs: Flower's SecAgg+ (peers/flower_secagg.py), with every client everybody's neighbour, as in ours.
- Flower, few pairs: the same with 2 log2(n) neighbours, rounded up, and itself, which is what SecAgg+ is for: its work grows
  with n log n, not n^2, and a client is exposed by fewer colluders. Its masks come from no cipher, and its words have 64 bits:
  see there.

A contender with a mean that is further than one in 10,000 of the bound from the true one stops the run. Contenders take turns;
figures are medians over turns. The last line is JSON, by number of clients; `seconds_over_plain` and `bytes_over_plain` are ours
without dropouts.
With `--store` they go to course_lib/classroom/studies/secure_aggregation.json as well.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from course_lib import learning
from course_lib.privacy.secure_aggregation import Quantiser, secure_sum

STORED = Path(learning.__file__).parents[1] / "classroom/studies/secure_aggregation.json"
CLIENTS, STORED_CLIENTS, WEIGHTS = (10, 50, 200), (10, 20, 50, 100, 200), 199_210
BOUND = 1.0
PLAIN, OURS, DROPOUTS, ALL_PAIRS, FEW_PAIRS = (
    "plain",
    "ours",
    "ours, dropouts",
    "Flower, all pairs",
    "Flower, few pairs",
)
STAGE_SECONDS = ("advertise_seconds", "share_seconds", "mask_seconds", "unmask_seconds")
Figures = dict[str, float]


def vectors(clients: int, weights: int) -> dict[int, torch.Tensor]:
    """Return updates as training leaves them: small numbers around 0, inside the bound."""
    return {k: 0.02 * torch.randn(weights, generator=learning.keys.generator(0, "update", k)) for k in range(clients)}


def neighbours(clients: int) -> int:
    """Return how many clients share masks in SecAgg+: 2 log2(n), rounded up, and the client itself; at most all."""
    return min(clients, 2 * math.ceil(math.log2(clients)) + 1)


def measure(contender: str, given: dict[int, torch.Tensor]) -> Figures:
    """Return seconds and bytes of one aggregation. Raises RuntimeError for a wrong mean."""
    dropped = range(len(given) // 10) if contender == DROPOUTS else range(0)
    kept = {client: vector for client, vector in given.items() if client not in dropped}
    clock, processor = time.perf_counter(), time.process_time()
    mean, figures = RUN[contender](given, dropped)
    figures["clock_seconds"], figures["seconds"] = time.perf_counter() - clock, time.process_time() - processor
    # Stages were timed by the clock.
    stages = {
        name: figures[name] / figures["clock_seconds"] * figures["seconds"] for name in STAGE_SECONDS if name in figures
    }
    if stages:
        by_clients = sum(seconds for name, seconds in stages.items() if name != "unmask_seconds")
        figures |= stages | {"seconds_a_client": by_clients / len(given)}
    true = torch.stack(list(kept.values())).double().mean(dim=0)
    if (worst := float((mean - true).abs().max())) > 1e-4 * BOUND:
        raise RuntimeError(f"{contender}, {len(given)} clients: the mean is wrong by up to {worst:.2g}")
    return figures


def plain(given: dict[int, torch.Tensor], dropped: range) -> tuple[torch.Tensor, Figures]:
    """Return the mean `(m,)` without any mask, and what was sent."""
    total = torch.zeros(len(given[0]), dtype=torch.float64)
    for vector in given.values():
        total += vector
    return total / len(given), {"bytes": sum(4 * vector.numel() for vector in given.values())}


def ours(given: dict[int, torch.Tensor], dropped: range) -> tuple[torch.Tensor, Figures]:
    """Return the mean of those who do not drop out after they have dealt shares, what was sent and the seconds by stage."""
    quantiser = Quantiser.finest(BOUND, len(given))
    result = secure_sum(given, quantiser, drop_after=dict.fromkeys(dropped, "share"), record=False)
    stages = {f"{stage}_seconds": seconds for stage, seconds in result.seconds.items()}
    return result.total / len(result.survivors), {"bytes": sum(result.bytes.values())} | stages


def flower(
    given: dict[int, torch.Tensor], dropped: range, shares: Callable[[int], int]
) -> tuple[torch.Tensor, Figures]:
    """Return the mean by SecAgg+, where so many clients have a share of each secret, and what was sent."""
    from peers import flower_secagg

    as_numpy = {client: vector.numpy() for client, vector in given.items()}
    mean, sent = flower_secagg.aggregate(as_numpy, BOUND, shares(len(given)))
    return torch.from_numpy(mean), {"bytes": sent}


RUN: dict[str, Callable[[dict[int, torch.Tensor], range], tuple[torch.Tensor, Figures]]] = {
    PLAIN: plain, OURS: ours, DROPOUTS: ours,
    ALL_PAIRS: partial(flower, shares=int), FEW_PAIRS: partial(flower, shares=neighbours),
}  # fmt: skip


def take_turns(clients: int, weights: int, repeats: int, contenders: tuple[str, ...]) -> dict[str, Figures]:
    """Return everybody's median figures; each turn begins with another contender."""
    given = vectors(clients, weights)
    measured: dict[str, list[Figures]] = {contender: [] for contender in contenders}
    for repeat in range(repeats):
        first = repeat % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            figures = measure(contender, given)
            measured[contender].append(figures)
            print(
                f"{clients:4} clients, turn {repeat + 1}  {contender:18} {figures['seconds']:8.3f} s "
                f"({figures['clock_seconds']:8.3f} by the clock)  {figures['bytes'] / 1e6:8.2f} MB",
                flush=True,
            )
    return {
        contender: {name: median(one[name] for one in many) for name in many[0]} for contender, many in measured.items()
    }


def summary(measured: dict[str, Figures]) -> dict[str, Any]:
    """Return what the last line says of one number of clients; None for a contender that was not measured."""
    masked, bare = measured[OURS], measured[PLAIN]

    def of(contender: str, name: str) -> float | None:
        return rounded(measured[contender][name]) if contender in measured else None

    return {
        "seconds": rounded(masked["seconds"]), "seconds_over_plain": rounded(masked["seconds"] / bare["seconds"]),
        "bytes": int(masked["bytes"]), "bytes_over_plain": rounded(masked["bytes"] / bare["bytes"]),
        "seconds_a_client": rounded(masked["seconds_a_client"]), "seconds_to_unmask": rounded(masked["unmask_seconds"]),
        "seconds_with_dropouts": rounded(measured[DROPOUTS]["seconds"]),
        "seconds_to_unmask_with_dropouts": rounded(measured[DROPOUTS]["unmask_seconds"]),
        "flower_all_pairs_seconds": of(ALL_PAIRS, "seconds"), "flower_all_pairs_bytes": of(ALL_PAIRS, "bytes"),
        "flower_few_pairs_seconds": of(FEW_PAIRS, "seconds"), "flower_few_pairs_bytes": of(FEW_PAIRS, "bytes"),
    }  # fmt: skip


def store(by_size: dict[int, dict[str, Figures]], repeats: int) -> None:
    """Write the medians to where lesson 13 looks them up."""
    rows = [
        {"clients": clients, "contender": contender, **{name: rounded(value) for name, value in figures.items()}}
        for clients, measured in by_size.items()
        for contender, figures in measured.items()
    ]
    found = {
        "command": f"python benchmarks/{Path(__file__).name} --store",
        "versions": {name: version(name) for name in ("torch", "numpy", "cryptography")},
        "weights": WEIGHTS, "turns": repeats, "rows": rows,
    }  # fmt: skip
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def rounded(value: float) -> float:
    """Return a number with four digits that count; whole numbers stay as they are."""
    return int(value) if float(value).is_integer() else float(f"{value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="how many clients, one or more numbers")
    parser.add_argument("--repeats", type=int, default=3, help="turns for every contender")
    parser.add_argument("--no-flower", action="store_true", help="leave Flower out")
    parser.add_argument("--quick", action="store_true", help="10 clients, 1,000 weights, one turn, without Flower")
    parser.add_argument("--store", action="store_true", help="measure and write what lesson 13 looks up")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes, weights, repeats = ((10,), 1000, 1) if arguments.quick else (arguments.clients, WEIGHTS, arguments.repeats)
    if arguments.store:
        sizes, weights, repeats = STORED_CLIENTS, WEIGHTS, 3
    contenders: tuple[str, ...] = (PLAIN, OURS, DROPOUTS)
    if not (arguments.quick or arguments.no_flower or arguments.store):
        contenders += (ALL_PAIRS, FEW_PAIRS)
    # What only the first aggregation pays for: imports, and memory that is touched for the first time.
    for contender in contenders:
        measure(contender, vectors(10, 1000))
    line, by_size = {}, {}
    for clients in sizes:
        measured = by_size[clients] = take_turns(clients, weights, repeats, contenders)
        line[clients] = summary(measured)
        stages = ", ".join(
            f"{name.removesuffix('_seconds')} {s:.3g} s" for name in STAGE_SECONDS if (s := measured[OURS][name])
        )
        print(f"{clients:4} clients, ours by stage: {stages}", flush=True)
    if arguments.store:
        store(by_size, repeats)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
