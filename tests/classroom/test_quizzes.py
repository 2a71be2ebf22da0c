"""Quizzes explain every choice, repeat exactly, and need no network."""

import json
import re

import pytest

from course_lib import classroom
from course_lib.classroom import Choice, Question, quizzes

QUESTIONS = [
    Question(
        "What leaves a client in `FedAvg`?",
        [Choice("its <examples>", False, "They stay."), Choice("an update", True, "One a round.")],
    ),
    Question(
        "Who trains a copy?",
        [
            Choice("clients", True, "Each."),
            Choice("workers", True, "Each."),
            Choice("the server", False, "It averages."),
        ],
    ),
]


def test_the_text_twin_lists_the_choices_and_gives_nothing_away(capsys: pytest.CaptureFixture[str]) -> None:
    classroom.quiz(QUESTIONS)
    assert capsys.readouterr().out == (
        "1. What leaves a client in `FedAvg`?\n   a) its <examples>\n   b) an update\n"
        "2. Who trains a copy?\n   a) clients\n   b) workers\n   c) the server\n"
    )


def test_the_same_questions_make_the_same_page_and_others_another() -> None:
    assert quizzes._as_html(QUESTIONS) == quizzes._as_html(QUESTIONS)
    assert quizzes._as_html(QUESTIONS) != quizzes._as_html(QUESTIONS[:1])


def questions_in(html: str) -> list[dict[str, object]]:
    found = re.search(r"var questionsquiz\w+=(\[.*?\]);\n", html)
    assert found
    entries: list[dict[str, object]] = json.loads(found[1])
    return entries


def test_every_choice_reaches_the_page_escaped_and_with_its_reason() -> None:
    first, second = questions_in(quizzes._as_html(QUESTIONS))
    assert first["question"] == "What leaves a client in <code>FedAvg</code>?"
    assert first["answers"] == [
        {"answer": "its &lt;examples&gt;", "correct": False, "feedback": "✗ They stay."},
        {"answer": "an update", "correct": True, "feedback": "✓ One a round."},
    ]
    assert (first["type"], second["type"]) == ("multiple_choice", "many_choice")
    assert str(second["question"]).endswith("(several answers are right)")


def test_the_script_runs_where_no_mathjax_is_known_so_that_it_fetches_none() -> None:
    html = quizzes._as_html(QUESTIONS)
    script = html[html.index("<script>") :]
    assert script.startswith("<script>(function (MathJax) {") and script.endswith("})();</script>")
    # The only address that is ever fetched from the script is MathJax's, in a branch that needs MathJax to be known.
    fetched = re.findall(r"script\.src = '([^']*)'", script)
    assert fetched and all("mathjax" in address for address in fetched)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", html)


def test_what_is_written_has_a_contrast_of_four_and_a_half_in_every_theme() -> None:
    html = quizzes._as_html(QUESTIONS)
    colour = dict(re.findall(r"(--jq-[\w-]+): (#\w{6});", html))
    on = ["--jq-multiple-choice-bg", "--jq-many-choice-bg", "--jq-correct-color", "--jq-incorrect-color"]
    for background in on:
        assert contrast(colour["--jq-text-color"], colour[background]) >= 4.5, background
    assert contrast("#333333", colour["--jq-mc-button-bg"]) >= 4.5, "jupyterquiz writes its buttons in #333333"
    assert re.search(r"\.Feedback \{color: inherit\}", html), "on the page itself, the theme's own colour"
    assert re.search(r"#quiz\w+ \.Quiz code \{background: none; color: inherit\}", html), (
        "and code as what is around it"
    )


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_without_a_kernel_the_reader_is_told_how_to_start() -> None:
    assert "2 questions: run this cell to answer them" in quizzes._as_html(QUESTIONS)


def test_a_choice_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="'because' needs a reason: say why it is wrong"):
        Choice("because", False, " ")


@pytest.mark.parametrize(
    "choices",
    [[], [Choice("one", True, "x")], [Choice("same", True, "x"), Choice("same", False, "y")]],
)
def test_a_question_needs_different_choices(choices: list[Choice]) -> None:
    with pytest.raises(ValueError, match="'Which' needs two or more different choices"):
        Question("Which", choices)


@pytest.mark.parametrize("correct", [True, False])
def test_a_question_needs_a_right_and_a_wrong_choice(correct: bool) -> None:
    with pytest.raises(ValueError, match=f"has {2 * correct} right choices of 2: some, but not all"):
        Question("Which", [Choice("a", correct, "x"), Choice("b", correct, "y")])


@pytest.mark.parametrize("text", ["costs $5", "see [this](https://example.org)"])
def test_what_would_be_read_as_mathematics_or_as_a_link_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"without \$ and without Markdown links"):
        Choice(text, True, "x")


def test_a_quiz_without_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="this quiz has no questions"):
        classroom.quiz([])
    with pytest.raises(ValueError, match="no exercises for lesson '99'"):
        classroom.quiz("99")
