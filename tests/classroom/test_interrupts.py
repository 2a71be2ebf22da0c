"""A learner who interrupts a training sees one card; what waits behind it does not run, and the next cell works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kernel import Kernel

pytestmark = pytest.mark.slow

DEFINITIONS = """
import os, signal, tempfile, threading, time
from pathlib import Path
import psutil
from course_lib import classroom, cluster, data, models, plans, rounds, study

train, test = data.load("digits")
clients = data.partitions.dirichlet(train.y, clients=4, alpha=1.0, seed=0)
plan = plans.fedavg(rounds=20_000, epochs=1, batch_size=20)

def fit(plan, seed, workers=1):
    return rounds.fit(models.logistic(), train, clients, plan, test=test, seed=seed, workers=workers)

def until(happened):
    end = time.monotonic() + 60
    while not happened() and time.monotonic() < end:
        time.sleep(0.1)

def interrupt_once_working():
    until(lambda: len(psutil.Process().children(recursive=True)) == 2)
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGINT)

def work(training):
    cluster.shutdown()
    threading.Thread(target=interrupt_once_working).start()
    training()

def busy():
    while True:
        pass
"""
CARD = (
    "◐ Interrupted. Nothing is left running. Run the cell again to start over; "
    "runs that `study.run` has stored are kept."
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    kernel.run(DEFINITIONS)
    yield kernel
    kernel.close()


@pytest.mark.parametrize(
    "training",
    [
        "rounds.fit(models.logistic(), train, clients, plan, test=test, seed=0, workers=2)",
        "study.run(tempfile.mkdtemp(), {'FedAvg': plan}, range(4), fit, progress=lambda done, total: None)",
        "cluster.launch(busy)",
    ],
    ids=["rounds.fit", "study.run", "cluster.launch"],
)
def test_an_interrupted_training_shows_one_card_and_nothing_runs_on(kernel: Kernel, training: str) -> None:
    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        kernel.run(f"work(lambda: {training})")
    assert kernel.displayed[-1:] == [CARD]
    assert kernel.errors == []
    assert kernel.run("print([one for one in psutil.Process().children(True) if one.cpu_percent(0.3) > 20])") == "[]\n"
    assert kernel.run("print(fit(plan.but(rounds=1), 0, workers=2).history['round'].tolist())") == "[1]\n"


def test_a_cell_that_waits_behind_an_interrupted_one_does_not_run(kernel: Kernel, tmp_path: Path) -> None:
    sent = tmp_path / "the next cell has been sent"
    kernel.client.execute(
        f"until(Path({str(sent)!r}).exists); time.sleep(2); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    kernel.client.execute("reached = True")
    sent.touch()
    statuses = [kernel.client.get_shell_msg(timeout=60)["content"]["status"] for _ in range(2)]
    assert statuses == ["error", "aborted"]
    assert kernel.run("print('reached' in globals())") == "False\n"


def test_other_errors_are_shown_as_ever(kernel: Kernel) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        kernel.run("1 / 0")
    assert "ZeroDivisionError" in kernel.errors[0] and kernel.displayed == []


def test_without_the_classroom_an_interrupt_is_left_to_the_kernel() -> None:
    kernel = Kernel()
    try:
        with pytest.raises(AssertionError, match="KeyboardInterrupt"):
            kernel.run("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)")
        assert "KeyboardInterrupt" in kernel.errors[0]
    finally:
        kernel.close()
