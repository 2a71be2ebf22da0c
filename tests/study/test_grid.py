"""A study runs each run once, keeps what is finished, and names what failed."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import cluster, data, models, plans, rounds, study
from course_lib.plans import Plan
from tests.study.runs import PLANS, counted, digits, direct, fit, log, quiet
from tests.waiting import until

SEEDS = range(2)
ALL = sorted(f"{name} {seed}" for name in PLANS for seed in SEEDS)


@pytest.fixture(scope="module", autouse=True)
def own_workers() -> Iterator[None]:
    yield
    cluster.shutdown()


def result_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.name != "study.json")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_finds_what_the_runs_find_on_their_own(tmp_path: Path, workers: int) -> None:
    found = study.run(tmp_path / "study", PLANS, SEEDS, partial(counted, tmp_path), workers=workers, progress=quiet)
    assert log(tmp_path) == ALL
    for plan, accuracies in direct(SEEDS).items():
        assert list(found.values(plan).values()) == list(accuracies)
    assert {path.suffix for path in (tmp_path / "study").iterdir()} == {".json", ""}


def test_a_finished_run_is_not_repeated_and_a_larger_grid_only_adds(tmp_path: Path) -> None:
    again = partial(study.run, tmp_path / "study", fit=partial(counted, tmp_path), workers=1, progress=quiet)
    again(PLANS, [0])
    again({"under another name": PLANS["FedAvg"], "FedSGD": PLANS["FedSGD"]}, SEEDS)
    assert log(tmp_path) == ALL
    assert again(PLANS, SEEDS).missing == () and log(tmp_path) == ALL


def test_a_changed_plan_or_setting_is_run_anew_and_leaves_the_table_of_the_old_one(tmp_path: Path) -> None:
    once = partial(study.run, tmp_path / "study", seeds=[0], fit=partial(counted, tmp_path), workers=1, progress=quiet)
    fedavg = {"FedAvg": PLANS["FedAvg"]}
    first = once(fedavg, setting="digits")
    changed = once({"FedAvg": PLANS["FedAvg"].but(learning_rate=0.5)}, setting="digits")
    assert list(changed.values("FedAvg")) == [0] and not changed.table().equals(first.table())
    once(fedavg, setting="other digits")
    assert log(tmp_path) == ["FedAvg 0"] * 3
    assert once(fedavg, setting="digits").table().equals(first.table()) and len(log(tmp_path)) == 3


def test_what_fit_uses_is_the_setting_unless_one_is_given(tmp_path: Path) -> None:
    def with_alpha(alpha: float) -> Any:
        def own(plan: Plan, seed: int) -> rounds.Run:
            train, test = digits()
            clients = data.partitions.dirichlet(train.y, clients=4, alpha=alpha, seed=seed)
            return rounds.fit(models.logistic(), train, clients, plan, test=test, seed=seed)

        return own

    for alpha in (0.1, 100.0, 0.1):
        study.run(tmp_path, PLANS, [0], with_alpha(alpha), workers=1, progress=quiet)
    assert len(result_files(tmp_path)) == 4


def test_the_same_plan_under_two_names_runs_once(tmp_path: Path) -> None:
    twice = {"one": PLANS["FedAvg"], "two": PLANS["FedAvg"]}
    found = study.run(tmp_path / "study", twice, [0, 1], partial(counted, tmp_path), workers=1, progress=quiet)
    assert log(tmp_path) == ["FedAvg 0", "FedAvg 1"]
    assert found.compare("one", "two").half_width == 0


def test_unfinished_files_are_never_read_and_are_cleared_away(tmp_path: Path) -> None:
    first = study.run(tmp_path, PLANS, SEEDS, fit, workers=1, progress=quiet)
    torn = result_files(tmp_path)[0]
    half = torn.with_suffix(".123.tmp")
    half.write_text(torn.read_text()[:100])
    torn.unlink()
    (tmp_path / "study.claims.123").mkdir()
    assert len(study.load(tmp_path).missing) == 1
    again = study.run(tmp_path, PLANS, SEEDS, fit, workers=1, progress=quiet)
    assert again.table().equals(first.table()) and not list(tmp_path.glob("*.tmp"))


def test_a_spoiled_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    study.run(tmp_path, PLANS, [0], fit, workers=1, progress=quiet)
    (spoiled := result_files(tmp_path)[0]).write_text("{")
    with pytest.raises(ValueError, match=rf"{spoiled.name} is no result.*delete it"):
        study.load(tmp_path)


def failing(plan: Plan, seed: int) -> rounds.Run:
    if plan.name == "FedSGD" and seed == 1:
        raise ArithmeticError("the sum is wrong")
    return fit(plan, seed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_raises_is_named_with_plan_and_seed_and_the_others_are_kept(tmp_path: Path, workers: int) -> None:
    seen = []
    with pytest.raises(
        study.StudyError, match=r"FedSGD, seed 1: ArithmeticError: the sum is wrong[\s\S]*in failing"
    ) as caught:
        study.run(
            tmp_path, PLANS, SEEDS, failing, setting=0, workers=workers, progress=lambda *now: seen.append(now)
        )  # fmt: skip
    assert list(caught.value.failures) == [("FedSGD", 1)] and len(caught.value.study.records) == 3
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert study.run(tmp_path, PLANS, SEEDS, fit, setting=0, workers=workers, progress=quiet).missing == ()


def dying(plan: Plan, seed: int) -> rounds.Run:
    if plan.name == "FedSGD" and seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(plan, seed)


@pytest.mark.slow
def test_a_worker_that_dies_costs_the_run_that_it_was_at_and_no_other(tmp_path: Path) -> None:
    with pytest.raises(study.StudyError, match=r"FedSGD, seed 0: rank \d died: .*SIGKILL") as caught:
        study.run(tmp_path, PLANS, SEEDS, dying, workers=2, progress=quiet)
    assert list(caught.value.failures) == [("FedSGD", 0)] and len(caught.value.study.records) == 3


def hanging(plan: Plan, seed: int) -> rounds.Run:
    time.sleep(3600)
    return fit(plan, seed)


@pytest.mark.slow
def test_a_run_that_hangs_is_stopped_and_named(tmp_path: Path) -> None:
    cluster.launch(no_run, PLANS["FedAvg"], 0, joined=False)  # what workers import takes none of the time that they get
    with pytest.raises(study.StudyError, match=r"FedAvg, seed 0: rank 0 hung: .*timeout=3 seconds"):
        study.run(tmp_path, {"FedAvg": PLANS["FedAvg"]}, [0, 1], hanging, workers=2, progress=quiet, timeout=3.0)


def ambitious(plan: Plan, seed: int) -> rounds.Run:
    train, test = digits()
    return rounds.fit(models.logistic(), train, data.partitions.iid(train.y, 4), plan, test=test, seed=seed, workers=2)


@pytest.mark.slow
def test_a_fit_that_starts_workers_of_its_own_is_told_who_works_already(tmp_path: Path) -> None:
    with pytest.raises(study.StudyError, match=r"FedAvg, seed 0: RuntimeError: .*workers cannot launch workers"):
        study.run(tmp_path, PLANS, [0], ambitious, workers=2, progress=quiet)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_what_is_finished(tmp_path: Path, workers: int) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run(tmp_path / "study", PLANS, SEEDS, partial(counted, tmp_path), workers=workers, progress=interrupt)
    kept = len(result_files(tmp_path / "study"))
    assert 2 <= kept <= 2 * workers
    done = []
    study.run(tmp_path / "study", PLANS, SEEDS, partial(counted, tmp_path), progress=lambda now, _: done.append(now))
    assert done == list(range(kept, 5)) and set(log(tmp_path)) == set(ALL)


def slow_then_quick(folder: Path, plan: Plan, seed: int) -> rounds.Run:
    if seed == 0:
        until(lambda: len(log(folder)) == 3)
    return counted(folder, plan, seed)


@pytest.mark.slow
def test_a_quick_worker_takes_the_next_run_while_another_is_slow(tmp_path: Path) -> None:
    fedavg = {"FedAvg": PLANS["FedAvg"]}
    study.run(tmp_path / "study", fedavg, range(4), partial(slow_then_quick, tmp_path), setting=0, progress=quiet)
    assert len(log(tmp_path)) == 4


def test_a_study_is_run_by_one_process_at_a_time(tmp_path: Path) -> None:
    answers: list[str] = []

    def run_it_again(done: int, total: int) -> None:
        code = (
            "from course_lib import study\nfrom tests.study.runs import *\n"
            f"try: study.run({str(tmp_path)!r}, PLANS, [0], fit, workers=1)\nexcept RuntimeError as error: print(error)"
        )
        if not answers:
            answers.append(cluster.launch(_output_of, code, workers=1)[0])

    study.run(tmp_path, PLANS, [0], fit, workers=1, progress=run_it_again)
    assert "is being run by another process" in answers[0]


def _output_of(code: str) -> str:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    return said.getvalue()


def no_run(plan: Plan, seed: int) -> Any:
    return 0.93


def forgetful(plan: Plan, seed: int) -> rounds.Run:
    return fit(plan, 0)


def untested(plan: Plan, seed: int) -> rounds.Run:
    train, _ = digits()
    return rounds.fit(models.logistic(), train, data.partitions.iid(train.y, 4), plan, seed=seed)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (no_run, "seed 1: TypeError: fit returned a float"), (forgetful, "seed 1: .*pass seed=seed to rounds.fit"),
        (untested, "seed 1: .*was not tested"),
    ],
)  # fmt: skip
def test_a_fit_that_returns_the_wrong_thing_is_told_what_to_return(tmp_path: Path, wrong: Any, said: str) -> None:
    with pytest.raises(study.StudyError, match=said):
        study.run(tmp_path, PLANS, [1], wrong, workers=1, progress=quiet)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"plans": {}}, "one or more plans by name"), ({"plans": [PLANS["FedAvg"]]}, "one or more plans by name"),
        ({"plans": {"FedAvg": plans.fedavg}}, "'FedAvg'.*is a function"), ({"seeds": 5}, r"seeds=5.*range\(5\)"),
        ({"seeds": []}, "one or more"), ({"seeds": [1, 1]}, "different"), ({"seeds": [0.5]}, "whole numbers"),
        ({"seeds": [3.0]}, "whole numbers"), ({"seeds": [True]}, "whole numbers"), ({"seeds": "3"}, "whole numbers"),
        ({"seeds": [3, np.int64(3)]}, "different"),
        ({"fit": None}, "fit=None must be a function"), ({"workers": 0}, "workers=0"), ({"workers": True}, "workers=True"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_work_are_named_before_anything_is_run_or_written(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    arguments: dict[str, Any] = {"plans": PLANS, "seeds": [0], "fit": fit} | changed
    with pytest.raises((TypeError, ValueError), match=said):
        study.run(tmp_path / "study", **arguments)
    assert not (tmp_path / "study").exists()


def test_a_seed_is_a_whole_number_whatever_its_type(tmp_path: Path) -> None:
    whole: Any = np.int64(3)
    found = study.run(tmp_path, PLANS, [whole], partial(counted, tmp_path), workers=1, progress=quiet)
    assert list(found.values("FedAvg")) == [3] and type(next(iter(found.values("FedAvg")))) is int
    study.run(tmp_path, PLANS, [3], partial(counted, tmp_path), workers=1, progress=quiet)
    assert len(log(tmp_path)) == len(PLANS)


def test_under_torchrun_a_study_says_that_it_starts_its_own_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(RuntimeError, match="starts its own workers"):
        study.run(tmp_path, PLANS, [0], fit)


def test_without_a_progress_of_one_s_own_a_bar_tells_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    study.run(tmp_path, PLANS, range(3), fit, workers=1)
    shown = capsys.readouterr().out
    assert "of 6 runs" in shown and " left" in shown
