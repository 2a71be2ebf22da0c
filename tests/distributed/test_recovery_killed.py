"""Workers are really killed, at any moment: the run goes on, ends with the undisturbed run's weights, and leaves nobody behind."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from course_lib import cluster, data, models, plans, rounds
from course_lib.cluster import pool
from course_lib.distributed import recovery
from course_lib.distributed.recovery import Checkpoints
from course_lib.federated.stage import State
from course_lib.federated.strategies import Scaffold
from course_lib.federated.strategy import LocalWork

pytestmark = pytest.mark.slow

ROUNDS, EVERY = 24, 4
PLAN = plans.fedavg(rounds=ROUNDS, participation=0.5, epochs=1, batch_size=16).but(strategy=Scaffold())


def fit(
    workers: int, checkpoints: Checkpoints | None = None, progress: Callable[[int, int], None] | None = None,
    plan: plans.Plan = PLAN,
) -> rounds.Run:  # fmt: skip
    train, test = data.load("digits")
    clients = data.partitions.dirichlet(train.y, 6, alpha=0.5, seed=0)
    return rounds.fit(
        models.mlp((8,)), train, clients, plan, test=test, seed=1, workers=workers, evaluate_every=6, checkpoints=checkpoints,
        progress=progress, timeout=120,
    )  # fmt: skip


def weights(run: rounds.Run) -> Tensor:
    return parameters_to_vector(run.model.parameters())


@pytest.fixture(scope="module")
def undisturbed() -> Tensor:
    return weights(fit(1))


def saved(checkpoints: Checkpoints) -> int:
    """Return how many rounds the last good checkpoint has."""
    found = checkpoints.latest()
    return found["done"] if found else -1


def workers_alive() -> set[int]:
    """Return the processes below this one, but for those that have ended and not been waited for."""
    own = psutil.Process().children(recursive=True)
    return {process.pid for process in own if process.status() != psutil.STATUS_ZOMBIE}


def kill(rank: int) -> None:
    """End a worker as the operating system does when memory runs out."""
    with suppress(IndexError, ProcessLookupError):  # the run is over, and its workers may be gone
        os.kill(pool.get().workers[rank].process.pid, signal.SIGKILL)


class Killer:
    """Called as a run's progress: kills a worker so many seconds after a round."""

    def __init__(self, moment: int, rank: int, delay: float) -> None:
        self.moment = moment
        self.timer = threading.Timer(delay, kill, (rank,))

    def __call__(self, done: int, _: int) -> None:
        if done == self.moment:
            self.timer.start()

    def join(self) -> None:
        if self.timer.ident is not None:
            self.timer.join()


@pytest.mark.timeout(1800)  # forty workers have to start: a minute on two quiet cores
def test_a_random_worker_killed_at_a_random_moment_twenty_times_changes_nothing(
    undisturbed: Tensor, tmp_path: Path
) -> None:
    chance, deaths, finished, best = random.Random(8), 0, 0, -1
    others = workers_alive() - {worker.process.pid for worker in pool.get().workers}  # of tests before, not of this one
    while deaths < 20:
        checkpoints = Checkpoints(tmp_path / str(finished), EVERY)
        killer = Killer(chance.randrange(1, ROUNDS), chance.randrange(2), chance.uniform(0, 0.02))
        try:
            run = fit(2, checkpoints, killer)
        except cluster.WorkerError as error:
            deaths += 1
            assert error.cause == "died"
            assert saved(checkpoints) >= best  # no checkpoint is lost
            best = saved(checkpoints)
        else:  # it came through: perhaps the moment lay before its checkpoint
            assert torch.equal(weights(run), undisturbed)
            finished, best = finished + 1, -1
        finally:
            killer.join()
    assert torch.equal(weights(fit(2, checkpoints)), undisturbed)
    assert finished > 0
    team = {worker.process.pid for worker in pool.get().workers}
    assert len(team) == 2 and workers_alive() - others == team  # nobody is left behind


@dataclass(frozen=True)
class Fatal(Checkpoints):
    """Checkpoints whose keeper is killed in one phase of its `fatal`th save. A file says that it has happened."""

    phase: str = "before"
    fatal: int = 3

    def save(self, done: int, identity: Any, content: Any) -> Path:
        note = Path(self.folder).with_suffix(".note")
        if done != self.fatal * self.every or note.exists():
            return super().save(done, identity, content)

        def die(*_: Any) -> None:
            note.write_text(self.phase)
            os.kill(os.getpid(), signal.SIGKILL)

        def half_written(file: int) -> None:
            os.truncate(file, os.fstat(file).st_size // 2)
            die()

        real, calls = os.fsync, []

        def renamed(file: int) -> None:
            calls.append(file)
            real(file) if len(calls) == 1 else die()  # the second one is the folder's

        patches = {
            "before": ("pack", die), "while writing": ("os.fsync", half_written), "before the rename": ("os.replace", die),
            "after the rename": ("os.fsync", renamed),
        }  # fmt: skip
        name, instead = patches[self.phase]
        with mock.patch(f"course_lib.distributed.recovery.{name}", instead):
            return super().save(done, identity, content)


@pytest.mark.parametrize(("phase", "before", "files"), [
    ("before", 8, 0), ("while writing", 8, 1), ("before the rename", 8, 1), ("after the rename", 12, 0),
])  # fmt: skip
def test_a_server_killed_in_any_phase_of_a_save_changes_nothing(
    phase: str, before: int, files: int, undisturbed: Tensor, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    fatal = Fatal(folder, EVERY, phase=phase)
    with pytest.raises(cluster.WorkerError) as caught:
        fit(2, fatal)
    assert (caught.value.cause, caught.value.rank) == ("died", 0)
    assert folder.with_suffix(".note").read_text() == phase
    unfinished = [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert (saved(fatal), len(unfinished)) == (before, files)
    said: list[str] = []
    run = recovery.restarting(lambda: fit(2, fatal), tell=said.append)
    assert torch.equal(weights(run), undisturbed) and said == []
    assert sorted(folder.iterdir()) == sorted(fatal.files())


@dataclass(frozen=True)
class Mortal(Scaffold):
    """SCAFFOLD whose workers are killed, each once, by what they do in a round: no watch from outside can come too late."""

    folder: str = ""
    deaths: tuple[tuple[int, int], ...] = ()  # (rank, first round, counted from 0)

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        own, now = dist.get_rank(), work.first_step // work.steps
        with open(Path(self.folder, f"rank-{own}.rounds"), "a") as rounds_begun:
            print(now, file=rounds_begun)
        for rank, first in self.deaths:
            note = Path(self.folder, f"rank-{rank}.note")
            if own == rank and now >= first and not note.exists():
                note.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().client(received, state, work)


def test_our_launcher_begins_again_where_it_was(undisturbed: Tensor, tmp_path: Path) -> None:
    plan = PLAN.but(strategy=Mortal(folder=str(tmp_path), deaths=((1, 7), (0, 14))))
    checkpoints, said = Checkpoints(tmp_path / "checkpoints", EVERY), list[str]()
    run = recovery.restarting(lambda: fit(2, checkpoints, plan=plan), restarts=2, tell=said.append)
    assert torch.equal(weights(run), undisturbed)
    assert [line.split(":")[0] for line in said] == ["rank 1 died", "rank 0 died"]
    assert said[1].endswith("Restart 2 of 2.")
    for rank, died in enumerate((14, 7)):
        begun = [int(line) for line in (tmp_path / f"rank-{rank}.rounds").read_text().split()]
        assert died in begun  # in the very round that was meant
        again = [now for last, now in pairwise(begun) if now < last]
        assert again == [4, 12]  # a checkpoint comes after every fourth round


SCRIPT = """
import os
import sys
import torch
from course_lib import cluster
from course_lib.distributed.recovery import Checkpoints
from tests.distributed.test_recovery_killed import fit, weights

attempt, rank = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), int(os.environ["RANK"])

def watch(done, _):
    print(f"attempt {attempt}: round {done}", flush=True)


if rank == 1 and attempt < 2:
    from course_lib.rounds import participants
    message = participants.Participants.message

    def fatal(self, participant, received, round_index, shares):
        if round_index >= 9 + 8 * attempt:  # or in the next round, if none of its clients takes part in this one
            os._exit(9)
        return message(self, participant, received, round_index, shares)

    participants.Participants.message = fatal
run = fit(2, Checkpoints(sys.argv[1], every=4), watch)
if rank == 0:
    torch.save(weights(run), sys.argv[2])
"""


@pytest.mark.timeout(900)
def test_torchruns_agent_begins_again_where_it_was(undisturbed: Tensor, tmp_path: Path) -> None:
    script, found = tmp_path / "script.py", tmp_path / "weights.pt"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [*command, script, tmp_path / "checkpoints", found], check=False, capture_output=True, text=True, timeout=600,
        env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(found), undisturbed)
    began = [next(line for line in done.stdout.splitlines() if line.startswith(f"attempt {n}")) for n in range(3)]
    assert [line.split()[-1] for line in began] == ["1", "9", "17"]
