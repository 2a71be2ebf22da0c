"""A lesson as small as a lesson can be, and what is done with it."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import lessons, notebooks

ROOT = Path(__file__).resolve().parents[2]

HEAD = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

"""
TINY = (
    HEAD
    + """\
# A tiny lesson

About 5 minutes.

+++ {"tags": ["instructor"]}

Say nothing of the answer 42.

+++

```{code-cell} ipython3
from course_lib import classroom

bar = classroom.progress(total=3, label="Three steps")
for step in classroom.track([1, 2, 3], "Counting"):
    bar(step, 3)
classroom.predict("sum", "What is the sum?", slider=(0, 10, 1, "apples"))
```

```{code-cell} ipython3
:tags: [solution]

def check(add):
    assert add(1, 2) == 3, "one and two make three"


def add(a, b):
    # BEGIN SOLUTION
    return a + b
    # END SOLUTION


sums = classroom.Exercise("Sums", check, hints=["Use +."], solution="    return a + b")
sums.check(add)
```

```{code-cell} ipython3
:tags: [solution, nbval-ignore-output]

# BEGIN SOLUTION
# STUB: total = ...  # a whole number
# STUB: colour = ...
total = 3
colour = "blue"
# END SOLUTION
sums.check(lambda a, b: total)
```

The end.
"""
)


def write(course: Path, text: str) -> Path:
    lesson = course / "lessons" / "00_tiny.md"
    lesson.write_text(text, encoding="utf-8")
    return lesson


def command(course: Path, *arguments: str) -> int:
    return notebooks.main([*arguments, "--root", str(course)])


def stored(course: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(course / "notebooks" / "00_tiny.ipynb", as_version=4)
    return notebook


def derived(course: Path) -> NotebookNode:
    return lessons.learner(course / "lessons" / "00_tiny.md", course)
