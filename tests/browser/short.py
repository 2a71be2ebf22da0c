"""A notebook with one of each thing that a learner uses or reads: it runs in seconds."""

from pathlib import Path

import nbformat

_IMPORTS = """
from course_lib import classroom, learning
from course_lib.classroom import Choice, Question, cards, plots
"""
_GUESSES = """
classroom.predict("winner", "Who wins?", choices=["DML", "FL"])
classroom.predict("size", "How large is it?", slider=(0, 10, 0.5, "MB"))
"""
_SHEET = """
from course_lib.classroom.forms import predict_all

predict_all("turns", "What does each turn do?", {
    "mean": "a line so long that no laptop shows it in one row: the mean of all updates, each by its images (against the plain mean)",
    "half": "half are asked",
}, ["within a point", "more than a point worse"])
"""
_EXPLORER = """
def height(level=3, dashed=False, colour="blue"):
    made, axes = plots.figure(f"Level {level}")
    axes.plot([0, 1], [level, level + 1], "--" if dashed else "-", color=colour)
    return made, f"A line at level {level}, {colour}, rising by one to the right."

classroom.explore(height, level=(1, 5, 1), dashed=False, colour={"sea": "blue", "sun": "orange"}, units={"level": "m"})
"""
_QUIZ = """
classroom.quiz([
    Question("What leaves a client in `FedAvg`?", [
        Choice("its <examples>", False, "They stay where they are."), Choice("an update", True, "One each round."),
    ]),
    Question("What is `run.traffic[run.traffic.kind.eq('model')].bytes.sum()`?", [
        Choice("`participation_times_clients_times_parameters`", False, "`4_bytes_for_each_of_the_parameters` as well."),
        Choice("all that models took on the wire", True, "Both ways."),
    ]),
    Question("Who trains a copy?", [
        Choice("clients", True, "Each of them."), Choice("workers", True, "Each of them."),
        Choice("the server", False, "It averages."),
    ]),
])
"""
_READ = """
for kind in cards.COLOURS:
    cards.show_card(kind, f"A card of the kind {kind}, with `code` in it.")
accuracy = {"DML": [93.1, 94.2, 93.6], "FL": [91.0, 92.3, 91.5]}
classroom.table({
    ("one class", name): {("accuracy (%)", "ours"): values, ("accuracy (%)", "paper"): 93.0, ("bytes", "MB"): 12345.6}
    for name, values in accuracy.items()
}, "Two ways, three seeds")
classroom.table({
    "a way with a long name": {f"after {passes} passes over the data (%)": 91.0 + passes for passes in range(1, 9)}
}, "A wide table")
found = learning.compare([0.9, 0.91, 0.92, 0.9, 0.91], [0.8, 0.82, 0.81, 0.8, 0.79], "better")
failed = learning.compare([0.8, 0.82, 0.81, 0.8, 0.79], [0.9, 0.91, 0.92, 0.9, 0.91], "better")
classroom.verdict(13, {"once a pass, IID": found, "once a pass, two shards": failed}, "accuracy, FL with one machine")
classroom.verdict(9, learning.exact(0, True, "messages"))
plots.bars({"IID": accuracy}, "accuracy (%)").show()
classroom.say("FL sent **12.3 MB**.")
for _ in classroom.track(range(3), "Three steps"):
    pass
"""


def write(folder: Path, name: str = "99_short.ipynb") -> str:
    """Write the notebook, not yet run, into `folder`; return its name."""
    cells = [
        nbformat.v4.new_markdown_cell(
            "# A short lesson\n\nWith `code`, a [link](#a) and\n\n| a | table |\n|---|---|\n| 1 | 2 |"
        )
    ]
    cells += [
        nbformat.v4.new_code_cell(code.strip()) for code in (_IMPORTS, _GUESSES, _SHEET, _EXPLORER, _QUIZ, _READ)
    ]  # fmt: skip
    cells[1].metadata["jupyter"] = {"source_hidden": True}  # as the first cell of every lesson is
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / name)
    return name
