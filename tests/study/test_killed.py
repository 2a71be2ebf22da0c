"""A study that is killed again and again, with kill -9, ends with the table of one that was left alone."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from course_lib import study
from tests.study.runs import PLANS, digits, fit, log, quiet
from tests.waiting import until

pytestmark = pytest.mark.slow

SEEDS = range(24)
KILLS = 10
SCRIPT = """
import os, pickle, signal, sys, time
from pathlib import Path
from course_lib import study
from tests.study import runs

study_process, folder, when, most = os.getpid(), Path(sys.argv[1]), sys.argv[2], int(sys.argv[5])
digits = pickle.loads((folder / "digits").read_bytes())  # quicker than what data.load imports

def paced(plan, seed):
    if when == "while it writes":
        os.fsync = lambda _: end()
    elif when == "before it tells":
        replace = os.replace
        os.replace = lambda *names: (replace(*names), end())
    while len(runs.log(folder)) >= most:  # the kill may come late, and must not find that all is over
        time.sleep(0.01)
    time.sleep(0.15)  # a run takes a while, so that most kills find one under way
    return runs.counted(folder, plan, seed, digits)

def end():
    os.kill(study_process, signal.SIGKILL)
    time.sleep(60)

seeds, workers = range(int(sys.argv[3])), int(sys.argv[4])
study.run(folder / "study", runs.PLANS, seeds, paced, setting="digits", workers=workers, progress=runs.quiet)
"""


def start(
    folder: Path, when: str = "never", seeds: int = len(SEEDS), workers: int = 2, most: int = 1000
) -> subprocess.Popen[bytes]:  # fmt: skip
    script = folder / "script.py"
    script.write_text(SCRIPT)
    (folder / "digits").write_bytes(pickle.dumps(digits()))
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), when, str(seeds), str(workers), str(most)],
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def contents(folder: Path) -> dict[str, str]:
    """The finished rows, by file."""
    found = (folder / "study").glob("*.json")
    return {path.name: path.read_text() for path in found if path.name != "study.json"}


def has_come_to(folder: Path, begun: int, finished: int) -> bool:
    return len(log(folder)) >= begun and len(contents(folder)) >= finished


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a study's process, and see that its workers end with it."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1]


@pytest.mark.timeout(1800)  # a minute on a machine with nothing else to do
def test_ten_kills_at_random_moments_change_no_number_and_repeat_no_finished_run(tmp_path: Path) -> None:
    chance = random.Random(0)
    under_way = 0
    for number in range(KILLS):
        before, begun, more = contents(tmp_path), len(log(tmp_path)), chance.randrange(4)
        process = start(tmp_path, workers=1 + number % 2, most=begun + more + 2)
        until(partial(has_come_to, tmp_path, begun + 1, len(before) + more))
        assert process.poll() is None
        time.sleep(chance.uniform(0, 0.2))
        kill(process)
        after = contents(tmp_path)
        assert before.items() <= after.items()
        under_way += len(before) < len(after)
    assert under_way >= KILLS // 2 and 0 < len(after) < len(PLANS) * len(SEEDS)
    assert study.load(tmp_path / "study").missing

    assert start(tmp_path).wait(timeout=240) == 0
    finished = study.load(tmp_path / "study")
    assert after.items() <= contents(tmp_path).items()
    # Every kill interrupts at most the two runs that the two workers were at.
    assert len(log(tmp_path)) <= len(PLANS) * len(SEEDS) + 2 * KILLS
    alone = study.run(tmp_path / "alone", PLANS, SEEDS, fit, workers=1, progress=quiet)
    assert finished.missing == () and finished.table().equals(alone.table())
    assert finished.curves.drop(columns="seconds").equals(alone.curves.drop(columns="seconds"))


@pytest.mark.parametrize(("when", "kept"), [("while it writes", False), ("before it tells", True)])
def test_a_kill_between_writing_and_telling_leaves_a_whole_row_or_none(tmp_path: Path, when: str, kept: bool) -> None:
    process = start(tmp_path, when, seeds=1)
    assert process.wait(timeout=120) == -signal.SIGKILL  # and its workers with it
    assert bool(contents(tmp_path)) == kept == bool(study.load(tmp_path / "study").records)
    assert kept or list((tmp_path / "study").glob("*.*.tmp"))
    found = study.run(tmp_path / "study", PLANS, [0], fit, setting="digits", workers=1, progress=quiet)
    assert found.table().equals(study.run(tmp_path / "alone", PLANS, [0], fit, workers=1, progress=quiet).table())
