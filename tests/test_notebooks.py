"""Every lesson and its notebook: in step, run, complete and readable.

That running a notebook again gives the stored outputs is nbval's business; that its own solutions pass, the browser's.
"""

import textwrap
from pathlib import Path

import nbformat
import pytest

from course_lib.classroom.exercises import exercises
from tools import lessons, review

ROOT = Path(__file__).resolve().parent.parent
LESSONS = lessons.find(ROOT, [])

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


def test_there_are_lessons_and_every_notebook_has_one() -> None:
    assert LESSONS
    for folder in ("notebooks", "learn"):
        assert {path.stem for path in (ROOT / folder).glob("*.ipynb")} == {lesson.stem for lesson in LESSONS}


@each_lesson
def test_the_notebook_is_in_step_run_without_a_complaint_and_short_enough(lesson: Path) -> None:
    assert review.problems(lesson, ROOT) == []


@each_lesson
def test_the_lesson_says_what_its_notebook_shows_and_shows_mostly_its_method(lesson: Path) -> None:
    assert review.complaints(lesson, ROOT) == []


@each_lesson
def test_the_lesson_has_every_part_that_a_lesson_has(lesson: Path) -> None:
    assert review.missing_parts(lessons.master(lesson)) == []


@each_lesson
def test_every_figure_says_in_words_what_it_shows(lesson: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{lesson.stem}.ipynb", as_version=4)
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    figures = [data["text/plain"] for data in shown if "<img" in data.get("text/html", "")]
    assert figures
    assert all(len(text.split()) >= 8 for text in figures), figures


@each_lesson
def test_what_solution_shows_is_what_the_lesson_runs(lesson: Path) -> None:
    declared = exercises(lesson.stem[:2])
    cells = [cell.source for cell in lessons.master(lesson).cells if "solution" in lessons.tags(cell)]
    assert len(declared) == len(cells)
    for (name, exercise), source in zip(declared.items(), cells, strict=True):
        assert f"{lesson.stem[:2]}.{name}" in source or f"{name}.check(" in source
        assert textwrap.dedent(exercise.code) in textwrap.dedent(source) or exercise.code in source
