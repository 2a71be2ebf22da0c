"""What a learner sees of a lesson is counted, and most of it is the method."""

import textwrap
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.tools.test_derivation import FOLDED
from tests.tools.tiny import TINY, command, derived, write
from tools import review, visible


def notebook(*sources: str, tags: list[str] | None = None) -> NotebookNode:
    made: NotebookNode = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(textwrap.dedent(source).strip(), metadata={"tags": tags or []})
            for source in sources
        ]
    )
    return made


@pytest.mark.parametrize(
    "serves",
    [
        "import torch", "from course_lib import data", "print(accuracy)", 'classroom.verdict(2, found, "five seeds")',
        "classroom.plots.bars(\n    values\n)", "plots.curves(runs).show()", 'exercise("00.q1").check(add)', "doctor.check();",
        "table = pd.DataFrame(rows)", "axes.plot(x, y)", 'label = f"{name}: {value}"',
    ],
)  # fmt: skip
def test_lines_that_import_print_draw_or_word_something_serve(serves: str) -> None:
    assert visible.count(notebook(serves)).method == 0


@pytest.mark.parametrize(
    "method",
    [
        "theta = theta - rate * gradient", "run = rounds.fit(model, train)", "def step(x):\n    return x - 1",
        "for seed in classroom.track(seeds):\n    run(seed)",
        "bar = classroom.progress(10)", "with torch.no_grad():\n    weight -= gradient",
    ],
)  # fmt: skip
def test_lines_that_compute_are_the_method(method: str) -> None:
    found = visible.count(notebook(method))
    assert found.method == found.code == len(method.split("\n"))


def test_each_statement_of_a_function_or_a_loop_is_judged_by_itself() -> None:
    found = visible.count(
        notebook(
            """
            # a comment, which is no code

            for name, run in runs.items():
                found = run.accuracy
                print(name, found)
            """
        )
    )
    assert (found.code, found.method) == (3, 2)


def test_a_fold_takes_its_lines_out_of_sight(course: Path) -> None:
    before = visible.count(derived(course))
    write(course, TINY + FOLDED)
    after = visible.count(derived(course))
    assert (after.code, after.method, after.folded) == (before.code, before.method, before.folded + 1)
    assert after.cells == before.cells + 1


def test_a_lesson_of_which_most_visible_code_serves_is_told_to_fold() -> None:
    serving, method = "print(1)\nprint(2)", "a = 1\nb = 2\nc = 3"
    assert visible.complaints(notebook(serving, method)) == []
    [complaint] = visible.complaints(notebook(serving, "print(3)", method))
    assert complaint.startswith("of 6 visible lines of code only 3 are the method, less than 60%: fold what serves")


def test_lines_that_run_out_of_sight_are_named() -> None:
    assert visible.complaints(notebook("x = " + "1" * 91)) == []
    [complaint] = visible.complaints(notebook("x = " + "1" * 92))
    assert "1 line of more than 95 columns" in complaint


def test_a_title_without_a_fold_is_named() -> None:
    [complaint] = visible.complaints(notebook("# @title Draw\na = 1"))
    assert complaint.endswith("has a @title and is not tagged fold")
    assert visible.complaints(notebook("# @title Draw\na = 1", "b = 1", tags=["fold"])) == []


def test_check_says_what_is_wrong_with_text_and_code(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(built, TINY.replace("The end.", "The end: 12.5% of statement 17."))
    assert command(built, "check") == 1
    complaints = capsys.readouterr().err
    for part in ["12.5%: in no stored output", "statement 17 by its number only", "minutes: the opening says"]:
        assert part in complaints
    assert review.complaints(built / "lessons" / "00_tiny.md", built)


def test_report_counts_what_a_learner_sees(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(course, "report") == 0
    head, row = capsys.readouterr().out.strip().split("\n")
    seen = visible.count(derived(course))
    assert head.split() == ["lesson", "code", "lines", "the", "method", "folded", "cells", "words", "cells"]
    assert row.split() == [
        "00_tiny", str(seen.code), str(seen.method), f"({seen.method / seen.code:.0%})", "0", str(seen.words), str(seen.cells),
    ]  # fmt: skip
