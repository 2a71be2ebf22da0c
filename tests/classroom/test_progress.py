"""Progress bars know how much is done and how long is left, and stay silent where nobody looks."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest

from course_lib import classroom
from course_lib.classroom.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(Bar, "redraw_seconds", 0.0)
    return Terminal()


def lines(screen: Terminal) -> list[str]:
    return [line.strip() for line in screen.getvalue().split("\r") if line.strip()]


def ticking(*times: float) -> Iterator[float]:
    yield from times


def test_the_meter_estimates_how_long_is_left() -> None:
    clock = ticking(0.0, 0.0, 30.0, 30.0, 30.0)
    bar = Bar(40, "Training", clock=lambda: next(clock))
    bar.done = 10
    assert bar.meter() == "25%, 00:30 gone, 01:30 left"


def test_one_bar_follows_several_runs_one_after_another(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        bar = classroom.progress(total=6, label="Three runs")
        for _ in range(3):
            for done in (1, 2):
                bar(done, 2)
    shares = [line.split(":")[1].split("%")[0].strip() for line in lines(terminal)]
    assert shares == ["17", "33", "50", "67", "83", "100"]


def test_a_run_that_stops_early_does_not_hold_up_the_next_ones(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        bar = classroom.progress(total=20, label="Two runs")
        bar(1, 10)
        bar(2, 10)  # this run reached its target in round 2
        bar(1, 10)
    assert "55%" in lines(terminal)[-1]


def test_without_a_total_the_run_says_how_long_it_is(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        bar = classroom.progress(label="One run")
        bar(1, 4)
    assert lines(terminal)[-1].startswith("One run: 25%")


def test_the_bar_of_the_next_cell_starts_again(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        bar = classroom.progress(total=2)
        for _ in range(2):
            bar(1, 2)
            bar(2, 2)
    assert [line.split("%")[0].split()[-1] for line in lines(terminal)] == ["50", "100", "50", "100"]


def test_a_terminal_is_left_clean(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        assert list(classroom.track(["a", "b"], "Letters")) == ["a", "b"]
    assert terminal.getvalue().endswith(f"\r{'':79}\r")
    assert len(lines(terminal)) == 2


def test_a_loop_that_is_left_closes_its_bar(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        for item in classroom.track([1, 2, 3], "Searching"):
            if item == 2:
                break
    assert terminal.getvalue().endswith("\r")


def test_nothing_is_written_to_a_file_or_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    bar = classroom.progress(total=2)
    bar(1, 2)
    bar(2, 2)
    list(classroom.track([1], "One"))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
