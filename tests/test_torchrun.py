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


@pytest.mark.slow
def test_torchrun_gives_the_run_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, start in [
        (alone, [sys.executable]),
        (together, [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]),
    ]:
        folder.mkdir()
        done = subprocess.run([*start, script, folder], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    for name in ("fedavg", "sync", "stop", "scaffold", "ditto"):
        (one, first, _), (two, second, workers) = (torch.load(folder / f"{name}.pt") for folder in (alone, together))
        assert workers == 2
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
        torch.testing.assert_close(first, second)
