"""Two machines, each a network of its own joined by one cable, give the run of one process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
from course_lib import cluster, data, models, plans, rounds

train, test = data.load("digits")
clients = data.partitions.dirichlet(train.y, 6, alpha=0.5, seed=0)
run = rounds.fit(models.mlp((12,)), train, clients, plans.fedavg(rounds=3, participation=0.5, epochs=1), test=test)
if cluster.join()[0] == 0:
    print(run.accuracy, run.bytes_sent)
"""
HANGING = """
import os, sys, time
from pathlib import Path
from course_lib import cluster

def until(*notes):
    while not all(Path(__file__ + note).exists() for note in notes):
        time.sleep(0.01)

Path(__file__ + os.environ["RANK"]).touch()
until("0", "1")  # both begin at the same time: starting may take any time
rank, world = cluster.join(timeout=5.0)
if rank == 1:
    until("given up")
    sys.exit()
started = time.monotonic()
try:
    cluster.traffic.Channel(cluster.traffic.Recorder()).recv(1, kind="news")
except RuntimeError:
    Path(__file__ + "given up").touch()
    print("given up", time.monotonic() - started < 60)
"""
FIRST, SECOND = "10.231.77.1", "10.231.77.2"


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def machines() -> Iterator[list[list[str]]]:
    """What to put before a command so that it runs on the first machine, and on the second."""
    names = [f"course-{os.getpid()}-{number}" for number in range(2)]
    ends = [f"veth{os.getpid()}{letter}"[-15:] for letter in "ab"]
    try:
        steps = [["netns", "add", name] for name in names]
        steps.append(["link", "add", ends[0], "type", "veth", "peer", "name", ends[1]])
        for name, end, address in zip(names, ends, (FIRST, SECOND), strict=True):
            steps.append(["link", "set", end, "netns", name])
            steps.append(["-n", name, "address", "add", f"{address}/24", "dev", end])
            steps += [["-n", name, "link", "set", device, "up"] for device in ("lo", end)]
        for step in steps:
            try:
                done = ip(*step)
            except FileNotFoundError:
                pytest.skip("there is no `ip`: on Debian, apt-get install iproute2")
            if done.returncode:
                pytest.skip(f"this system does not let us join two networks: {done.stderr.strip()}")
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            ip("netns", "delete", name)


def run_on(machines: list[list[str]], script: Path) -> str:
    """Run a script under torchrun, one process a machine; return what the first one prints."""
    surroundings = {name: value for name, value in os.environ.items() if name != "GLOO_SOCKET_IFNAME"}
    processes = [
        subprocess.Popen(
            [*machine, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={number}",
             "--nproc-per-node=1", f"--master-addr={FIRST}", "--master-port=29571", script],
            env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, machine in enumerate(machines)
    ]  # fmt: skip
    try:
        said, complaints = processes[0].communicate(timeout=240)
        assert said, complaints
        return said
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate()


def test_two_machines_give_the_accuracy_and_the_bytes_of_one_process(machines, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    alone = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert run_on(machines, script) == alone.stdout


def test_the_time_out_counts_between_machines(machines, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HANGING)
    assert run_on(machines, script) == "given up True\n"
