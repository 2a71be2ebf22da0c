"""How many client updates a second? This course, Flower, pfl-research and a bare PyTorch loop, on the same workload.

    python benchmarks/federated_throughput.py            all contenders, 2NN and LeNet: about twelve minutes on two cores
    python benchmarks/federated_throughput.py --quick    this course and the bare loop only: a check that it runs

Needs the peers: pip install -e .[peers]

A client update is one client's work in one round: 5 epochs over its 40 images in batches of 10, plain SGD at 0.1. There
are 100 clients, 10 a round. Everyone starts from the same weights, holds the same shares of mnist5k, averages by number
of examples, and tests the final model on the same examples; a contender whose accuracy is out of line stops the run.

Each measurement has processes of its own, one after the other. The first rounds, in which processes start, data is read
and caches fill, are left out of everyone's rate; so is the last, in which some test the model. Start-up is reported
apart. Processes compute on one thread, but for Flower's, which get as many as Flower gives them. Contenders take turns,
and a figure is the median over turns of the ratio within one turn, so that a machine that slows down for a minute slows
both sides of a ratio.

The last line is JSON, for the 2NN; the line before it is the same for LeNet.
- over_flower: this course with one or two workers, whichever is faster, over Flower as its quick start and its defaults
  run it: one client at a time on two cores. Two clients at a time on a core each is quicker, so that ratio is printed too.
- over_pfl: the same over pfl in one process, its recommended way without a cluster.
- over_bare_loop_per_worker: the rate for each worker over the bare loop's, with one worker or with two, whichever is
  LOWER, so that the figure never hides what federating or sharing the machine costs.
- two_workers_over_one: this course with two workers over this course with one.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from statistics import median

from peers.workload import MODELS, Measurement, Workload

OURS_1, OURS_2, BARE, PFL = "this course, 1 worker", "this course, 2 workers", "bare loop", "pfl"
FLOWER, FLOWER_TUNED = "Flower", "Flower, a core a client"
# The file of each contender, and the arguments of its `measure`.
CONTENDERS: dict[str, tuple[str, dict[str, int]]] = {
    OURS_1: ("ours", {"workers": 1}),
    OURS_2: ("ours", {"workers": 2}),
    BARE: ("bare_loop", {}),
    PFL: ("pfl_research", {}),
    FLOWER: ("flower", {"cores_a_client": 2}),
    FLOWER_TUNED: ("flower", {"cores_a_client": 1}),
}
QUICK = (OURS_1, OURS_2, BARE)
# Cohorts and batch orders differ between frameworks, so accuracy after the same rounds does too: by a point or two.
TOLERANCE = 0.05
Summary = dict[str, float]


def measure_here(contender: str, workload: Workload) -> Summary:
    """Measure one contender in this process."""
    module, arguments = CONTENDERS[contender]
    measure: Callable[..., Measurement] = importlib.import_module(f"peers.{module}").measure
    return measure(workload, **arguments).summary()


def measure_apart(contender: str, workload: Workload) -> Summary:
    """Measure one contender in a fresh process. Raises RuntimeError, with what it printed, when it fails."""
    order = json.dumps({"contender": contender, "workload": asdict(workload)})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--one", order], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{contender} failed on {workload}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    summary: Summary = json.loads(done.stdout.splitlines()[-1])
    return summary


def check_accuracies(turn: dict[str, Summary]) -> None:
    """Raise RuntimeError where a contender did not train as this course did."""
    ours = turn[OURS_1]["accuracy"]
    if turn[OURS_2]["accuracy"] != ours:
        raise RuntimeError(f"two workers reached {turn[OURS_2]['accuracy']}, one {ours}: the same seed is the same run")
    for contender, summary in turn.items():
        theirs = summary["accuracy"]
        # The bare loop never averages, so it takes ten times the steps one after the other and may be ahead.
        if not (abs(theirs - ours) <= TOLERANCE or (contender == BARE and theirs > ours)):
            raise RuntimeError(f"{contender} reached {theirs:.1%}, this course {ours:.1%}: not the same work")


def take_turns(workload: Workload, contenders: tuple[str, ...], repeats: int) -> list[dict[str, Summary]]:
    """Measure everyone `repeats` times, starting each turn with another contender, and print every measurement."""
    turns = []
    for repeat in range(repeats):
        first = repeat % len(contenders)
        turn = {}
        for contender in contenders[first:] + contenders[:first]:
            summary = turn[contender] = measure_apart(contender, workload)
            rate, start_up = summary["updates_per_second"], summary["start_up_seconds"]
            print(
                f"{workload.model:6} turn {repeat + 1}  {contender:24} {rate:7.1f} updates/s   "
                f"start-up {start_up:5.1f} s   accuracy {summary['accuracy']:.1%}",
                flush=True,
            )
        check_accuracies(turn)
        turns.append(turn)
    return turns


def figures(turns: list[dict[str, Summary]]) -> dict[str, float | None]:
    """Return the ratios described above, None for a peer that was not measured."""
    rates = [{contender: summary["updates_per_second"] for contender, summary in turn.items()} for turn in turns]

    def ratio(numerator: Callable[[dict[str, float]], float], denominator: str) -> float | None:
        if denominator not in rates[0]:
            return None
        return round(median(numerator(rate) / rate[denominator] for rate in rates), 3)

    def best(rate: dict[str, float]) -> float:
        return max(rate[OURS_1], rate[OURS_2])

    alone, shared = ratio(lambda rate: rate[OURS_1], BARE), ratio(lambda rate: rate[OURS_2] / 2, BARE)
    print(f"each worker over the bare loop: {alone} with one worker, {shared} with two")
    if FLOWER_TUNED in rates[0]:
        print(f"over Flower with a core a client: {ratio(best, FLOWER_TUNED)}")
    return {
        "over_flower": ratio(best, FLOWER),
        "over_pfl": ratio(best, PFL),
        "over_bare_loop_per_worker": min(filter(None, (alone, shared))),
        "two_workers_over_one": ratio(lambda rate: rate[OURS_2], OURS_1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, one turn, no peers")
    parser.add_argument("--repeats", type=int, default=3, help="turns for every contender")
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        order = json.loads(arguments.one)
        print(json.dumps(measure_here(order["contender"], Workload(**order["workload"]))))
        return
    contenders = QUICK if arguments.quick else tuple(CONTENDERS)
    warm_up, timed, repeats = (1, 2, 1) if arguments.quick else (3, arguments.rounds, arguments.repeats)
    lines = {}
    for model in reversed(MODELS):  # the 2NN comes last: its figures are the last line
        lines[model] = figures(take_turns(Workload(model, warm_up, timed), contenders, repeats))
    for model, line in lines.items():
        print(json.dumps(({"model": model} if model != "2nn" else {}) | line))


if __name__ == "__main__":
    main()
