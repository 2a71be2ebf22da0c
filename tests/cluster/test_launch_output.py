"""What workers print reaches the parent's standard output: labelled, whole lines, rank by rank."""

import logging
import os
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist

from course_lib import cluster
from course_lib.cluster.output import Relay
from tests.waiting import until


@pytest.mark.slow
def test_output_comes_rank_by_rank_whoever_was_first(tmp_path, capsys):
    def late_for_its_rank() -> None:
        own = dist.get_rank()
        until(lambda: len(list(tmp_path.iterdir())) == 2 - own)
        print("first line\nsecond line")
        (tmp_path / str(own)).touch()

    cluster.launch(late_for_its_rank, workers=3)
    assert capsys.readouterr().out == "".join(f"[rank {r}] first line\n[rank {r}] second line\n" for r in range(3))


@pytest.mark.slow
def test_everything_that_a_process_writes_is_caught(capfd):
    def noisy() -> None:
        print("printed")
        print("to standard error", file=sys.stderr)
        logging.getLogger("learner").warning("logged")
        os.write(1, b"written by C\n")
        os.system("echo by a child process")
        print("no end of line", end="")

    cluster.launch(noisy, workers=1)
    written = capfd.readouterr()
    lines = ["printed", "to standard error", "logged", "written by C", "by a child process", "no end of line"]
    assert written.out == "".join(f"[rank 0] {line}\n" for line in lines)
    assert written.err == ""


@pytest.mark.slow
def test_much_output_is_complete(capsys):
    def talkative() -> None:
        for number in range(20_000):
            print(number, "x" * 50)

    cluster.launch(talkative)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"[rank {rank}] {number} {'x' * 50}" for rank in range(2) for number in range(20_000)]


@pytest.mark.slow
def test_output_before_a_failure_is_shown(capsys):
    def last_words() -> None:
        print("last words of", dist.get_rank())
        os._exit(1)

    with pytest.raises(cluster.WorkerError):
        cluster.launch(last_words, workers=1)
    assert capsys.readouterr().out == "[rank 0] last words of 0\n"


@pytest.mark.slow
def test_what_is_printed_between_launches_is_not_shown_in_the_next(tmp_path: Path, capsys):
    between, printed = tmp_path / "between launches", tmp_path / "printed"

    def leave_a_thread_that_prints() -> None:
        import threading

        def too_late() -> None:
            until(between.exists)
            print("too late " * 100_000)
            printed.touch()

        threading.Thread(target=too_late).start()

    cluster.launch(leave_a_thread_that_prints, workers=1)
    between.touch()
    until(printed.exists)
    cluster.launch(print, "in time", workers=1)
    assert capsys.readouterr().out == "[rank 0] in time\n"


@pytest.mark.slow
def test_a_line_is_shown_while_the_launch_runs_and_before_a_report_that_follows_it(tmp_path: Path, capsys):
    seen: list[str] = []
    heard = tmp_path / "heard"

    def speak_and_report() -> None:
        print("training")
        cluster.report("epoch 1")
        until(heard.exists)

    def hear(_rank: int, _value: object) -> None:
        seen.append(capsys.readouterr().out)
        heard.touch()

    cluster.launch(speak_and_report, workers=1, on_report=hear)
    assert seen == ["[rank 0] training\n"]


def test_lines_of_a_higher_rank_wait_for_the_lower_ones_but_not_for_ever(capsys):
    patient, relay = Relay(2, patience=60), Relay(2, patience=0.05)
    for one in (patient, relay):
        one.feed(1, b"impatient\nunfinished")
    time.sleep(0.06)
    patient.show()
    assert capsys.readouterr().out == ""
    relay.show()
    assert capsys.readouterr().out == "[rank 1] impatient\n"
    relay.feed(0, b"at once\n")
    relay.finish(0)
    relay.show()
    assert capsys.readouterr().out == "[rank 0] at once\n"
    relay.finish(1)
    relay.show()
    assert capsys.readouterr().out == "[rank 1] unfinished\n"


def test_a_character_cut_in_two_by_the_pipe_is_put_together_and_broken_ones_do_no_harm(capsys):
    relay = Relay(1)
    cut = "λ ± ε\n".encode()
    for byte in cut:
        relay.feed(0, bytes([byte]))
    relay.feed(0, b"broken \xff\n")
    relay.show()
    assert capsys.readouterr().out == "[rank 0] λ ± ε\n[rank 0] broken \ufffd\n"


def test_of_a_progress_bar_the_last_state_is_shown(capsys):
    relay = Relay(1)
    relay.feed(0, b"\r10%\r50%\r100%\r\n")
    relay.show()
    assert capsys.readouterr().out == "[rank 0] 100%\n"
