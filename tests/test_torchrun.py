"""The same script under torchrun, on as many processes as torchrun starts, gives the run of one process."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
import torch
from torch.nn.utils import parameters_to_vector
from course_lib import cluster, data, models, plans, rounds
from course_lib.federated.participation import Devices
from course_lib.federated.personalisation import Ditto
from course_lib.federated.strategies import Scaffold

DROPPING = Devices(dropout=0.3)
train, test = data.load("digits")
clients = data.partitions.dirichlet(train.y, 6, alpha=0.5, seed=0)
for name, plan in [
    ("fedavg", plans.fedavg(rounds=3, participation=0.5, epochs=1)), ("sync", plans.synchronous_sgd(steps=5)),
    ("stop", plans.fedavg(rounds=30, participation=1.0, epochs=1)),
    ("scaffold", plans.fedavg(rounds=6, participation=0.3, epochs=1).but(strategy=Scaffold(), fleet=DROPPING)),
    ("ditto", plans.fedavg(rounds=4, participation=0.5, epochs=1).but(strategy=Ditto())),
]:
    run = rounds.fit(models.mlp((12,)), train, clients, plan, test=test, stop_at=0.8 if name == "stop" else None)
    rank, _ = cluster.join()
    if rank == 0:
        weights, own = parameters_to_vector(run.model.parameters()), torch.from_numpy(run.client_accuracy)
        torch.save((weights, own, run.workers), f"{sys.argv[1]}/{name}.pt")
"""


# Rank 1 does something else in its second round, or before it joins. Both begin at the same time: starting may take any time.
FAILING = """
import os
import sys
import time
from pathlib import Path
from course_lib import cluster, data, models, plans, rounds

rank, accident = os.environ["RANK"], sys.argv[1]

def fault(message, round_number):
    if rank == "1" and round_number == 2:
        os._exit(3) if accident == "dies" else time.sleep(600)
    return message

train, test = data.load("digits")
clients = data.partitions.dirichlet(train.y, 4, alpha=0.5, seed=0)
plan = plans.fedavg(rounds=3, participation=1.0, epochs=1).but(faults=dict.fromkeys(range(4), fault))
Path(sys.argv[2] + rank).touch()
while not all(Path(sys.argv[2] + one).exists() for one in "01"):
    time.sleep(0.01)
if rank == "1" and accident == "stays away":
    time.sleep(600)
seen, started = [], time.monotonic()
try:
    rounds.fit(models.mlp((12,)), train, clients, plan, timeout=5.0, progress=lambda done, _: seen.append(done))
except cluster.WorkerError as error:
    with open(sys.argv[2], "w") as file:
        print(rank, error.rank, error.cause, seen, time.monotonic() - started < 60, error, sep="|", file=file)
    raise
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.mark.slow
@pytest.mark.parametrize(("accident", "found", "words"), [
    ("hangs", ["0", "1", "hung", "[1]", "True"], "rank 0 waited for rank 1 in vain (Timed out"),
    ("dies", ["0", "1", "died", "[1]", "True"], "rank 0 lost rank 1 ("),
    ("stays away", ["0", "-1", "hung", "[]", "True"], "not all 2 processes were there within timeout=5 seconds"),
])  # fmt: skip
def test_a_process_of_torchrun_that_fails_is_named_in_time(
    accident: str, found: list[str], words: str, tmp_path: Path
) -> None:
    script, note = tmp_path / "script.py", tmp_path / "note"
    script.write_text(FAILING)
    done = subprocess.run(
        [*TORCHRUN, script, accident, note], check=False, capture_output=True, text=True, timeout=240
    )  # fmt: skip
    assert note.exists(), done.stderr
    *fields, message = note.read_text().strip().split("|")
    assert fields == found and done.returncode, done.stderr
    assert message.startswith(words)


@pytest.mark.slow
def test_torchrun_gives_the_run_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, start in [(alone, [sys.executable]), (together, TORCHRUN)]:
        folder.mkdir()
        done = subprocess.run([*start, script, folder], check=False, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    for name in ("fedavg", "sync", "stop", "scaffold", "ditto"):
        (one, first, _), (two, second, workers) = (torch.load(folder / f"{name}.pt") for folder in (alone, together))
        assert workers == 2
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
        torch.testing.assert_close(first, second)
