"""A lesson's text is held against its notebook: numbers, minutes, statements, and what learners can follow."""

from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from tools import prose


def notebook(*texts: str, code: str = "rate = 0.05", shown: str = "", notes: str = "") -> NotebookNode:
    """A notebook with these text cells, one code cell that showed something, and instructor notes."""
    cell = nbformat.v4.new_code_cell(code)
    if shown:
        cell.outputs = [nbformat.v4.new_output("display_data", data={"text/plain": shown})]
    cells = [*(nbformat.v4.new_markdown_cell(text) for text in texts), cell]
    if notes:
        cells.append(nbformat.v4.new_markdown_cell(notes, metadata={"tags": ["instructor"]}))
    made: NotebookNode = nbformat.v4.new_notebook(cells=cells)
    return made


def unfounded(text: str, **others: Any) -> list[str]:
    made = notebook(text, **others)
    return prose.numbers(made, made)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It reaches 92.9%.", "accuracy 92.9 ± 0.3"),
        ("It reaches 92.9%.", "accuracy 0.92871"),  # a share, rounded
        ("It sends 12.6 MB.", "12,582,912 bytes"),
        ("It sends 12.6 MB.", "12.58"),
        ("FL is 1.2 ± 0.4 points ahead.", "+1.2 ± 0.4 points"),
        ("About 3, 16 and 330.5 MB.", "3.1 16.3 330.5"),
        ("It takes 12.5 ms.", "0.0125"),
        ("Between 90 and 94%.", "90.1 93.8"),
        ("Expect 92 to 94 %.", "93.1"),
        ("Expect 0.1 to 0.4 here.", "0.37"),
        ("It needs **1,250 rounds**.", "1250"),
        ("At a rate of 5%.", ""),  # set in the code
        ("A 95% interval, within 1 point of 100%.", ""),
        ("McMahan et al. 2017 report 99.9%.", ""),
        ("| target in the paper | 97% |", ""),
        ("Nadeau and Bengio (2003) stretch it by 1.7 times.", ""),
        ("It fell to 42%. <!-- not measured here: five times the budget -->", ""),
        ("Press 7 keys in `x = 0.333` minutes; $1.96 s$.", ""),
        ("Lesson 01, section 3, took 45 minutes.", ""),
    ],
)
def test_a_number_is_founded_where_it_was_shown_set_published_or_excused(text: str, shown: str) -> None:
    assert unfounded(text, shown=shown) == []


@pytest.mark.parametrize(
    ("text", "shown", "quoted"),
    [
        ("It reaches 92.9%.", "accuracy 92.8", "92.9%"),
        ("It sends 12.6 MB.", "12,482,912 bytes", "12.6 MB"),
        ("FL is 1.2 ± 0.4 points ahead.", "+1.2 ± 0.5 points", "1.2 ± 0.4 points"),
        ("About 3 and 17 MB.", "3.1 16.3", "3 and 17 MB"),
        ("Expect 92 to 94 %.", "91.0 95.0", "92 to 94 %"),
        ("It needs 7 rounds.", "8", "7 rounds"),
        ("About 84.3 on average.", "85", "84.3"),
        ("It fell to 42%. <!-- not measured here: -->", "", "42%"),  # an excuse without a reason
        ("A share of 92 times.", "0.92", "92 times"),  # only percentages are shares
        ("<!-- not measured here: the paper's -->\n\nIt fell to 42%.", "", "42%"),  # another paragraph's excuse
        ("- The paper has 97%.\n- Here it is 88%.", "", "88%"),  # another item's source
    ],
)
def test_a_number_that_nothing_shows_is_named_with_its_paragraph(text: str, shown: str, quoted: str) -> None:
    [complaint] = unfounded(text, shown=shown)
    assert complaint.startswith(f"{quoted}: in no stored output and not in the code.")


def test_numbers_in_the_instructor_notes_are_held_against_the_outputs_too() -> None:
    made = notebook("Text.", shown="91.5", notes="Expect 91.5%, never 85.5%.")
    [complaint] = prose.numbers(made, made)
    assert complaint.startswith("85.5%:")


def test_the_openings_minutes_are_the_sum_of_the_notes() -> None:
    opening, notes = (
        "# Title\n\n**45 minutes.**",
        "**Timing** (45 minutes): opening 5, owners\n10, all else 30. To shorten to 20: skip.",
    )
    assert prose.timing(notebook(opening, notes=notes)) == []
    [complaint] = prose.timing(notebook(opening, notes=notes.replace("owners\n10", "owners\n11")))
    assert complaint == "minutes: the opening has 45, the notes 45, and their parts [5, 11, 30] add up to 46"
    [complaint] = prose.timing(notebook(opening.replace("45", "50"), notes=notes))
    assert "the opening has 50" in complaint
    [complaint] = prose.timing(notebook(opening))
    assert "**Timing** (N minutes)" in complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("See the instructor notes.", "sends learners to the instructor notes"),
        ("See the instructor's notes.", "sends learners to the instructor notes"),
        ("Lesson 11 shows how.", "speaks of lesson 11, which does not exist yet"),
        ("[next](11_leaks.ipynb)", "links to 11_leaks, which does not exist"),
        ("Statement 17. The bias is large.", "names statement 17 by its number only"),
        ("This decides statements 2 and 13.", "names statement 2 by its number only"),
    ],
)
def test_what_a_learner_cannot_follow_is_named(text: str, complaint: str) -> None:
    [found] = prose.wording(notebook(text), ["00_two_ways"])
    assert complaint in found


def test_what_a_learner_can_follow_is_not() -> None:
    text = "Lesson 00 and [its notebook](00_two_ways.ipynb). Statement 17 (lopsided data, lopsided model). Statement 2: no loss."
    assert prose.wording(notebook(text, notes="Lesson 99 and the instructor notes."), ["00_two_ways"]) == []
