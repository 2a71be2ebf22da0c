"""Quizzes in which every choice says why: jupyterquiz's buttons, our questions, no network."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from course_lib.classroom import cards
from course_lib.classroom.exercises import lesson_module

# jupyterquiz's choices are labels of hidden radio buttons: an arrow key answers, and no key looks first. They become buttons:
# Tab and the arrow keys move on, Enter or Space answers, and what is said is read aloud. JupyterLab would take these keys for
# its own.
_BUTTONS = """
quiz.setAttribute("data-lm-suppress-shortcuts", "true");
quiz.onkeydown = (event) => event.stopPropagation();  // the notebook would move the focus to its cell
for (const wrapper of quiz.querySelectorAll(".Quiz")) {
  const [asked, choices, said] = wrapper.children;
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-label", asked.innerText);
  said.setAttribute("role", "status");
  for (const choice of choices.children) {
    choice.querySelector("input").remove();
    choice.setAttribute("role", "button");
    choice.tabIndex = 0;
    choice.addEventListener("keydown", (event) => {
      const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
      if (!step && event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      if (!step) return choice.click();
      const all = [...choices.children];
      all[all.indexOf(choice) + step]?.focus();
    });
  }
}
"""


@dataclass(frozen=True)
class Choice:
    """One answer to choose: is it right, and why. Raises ValueError without a reason: each choice is explained."""

    text: str
    correct: bool
    why: str

    def __post_init__(self) -> None:
        _plain(self.text)
        _plain(self.why)
        if not self.why.strip():
            raise ValueError(
                f"the choice {self.text!r} needs a reason: say why it is {'right' if self.correct else 'wrong'}"
            )


@dataclass(frozen=True)
class Question:
    """A question with two or more choices, of which at least one is right and one is wrong; ValueError otherwise."""

    text: str
    choices: Sequence[Choice]

    def __post_init__(self) -> None:
        _plain(self.text)
        texts = [choice.text for choice in self.choices]
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise ValueError(f"the question {self.text!r} needs two or more different choices, got {texts}")
        right = sum(choice.correct for choice in self.choices)
        if not 0 < right < len(texts):
            raise ValueError(f"the question {self.text!r} has {right} right choices of {len(texts)}: some, but not all")


def quiz(questions: str | Sequence[Question]) -> None:
    """Show questions as buttons that explain the choice clicked; in text, as a numbered list.

    `questions`: a lesson, such as "00", whose `quiz = [Question(...), ...]` is declared beside its exercises, where learners
    do not see the answers; or the questions themselves. The output depends on them alone, so nbval compares it. Raises
    ValueError for a lesson without a quiz, or without questions.
    """
    asked = getattr(lesson_module(questions), "quiz", ()) if isinstance(questions, str) else questions
    if not asked:
        where = f"lesson {questions}" if isinstance(questions, str) else "this quiz"
        raise ValueError(f"{where} has no questions: declare `quiz = [Question(...), ...]` beside the exercises")
    cards.show(_as_text(asked), _as_html(asked))


def _as_text(questions: Sequence[Question]) -> str:
    lines = []
    for number, question in enumerate(questions, 1):
        lines.append(f"{number}. {question.text}")
        lines += [f"   {letter}) {choice.text}" for letter, choice in zip("abcdefgh", question.choices, strict=False)]
    return "\n".join(lines)


def _as_html(questions: Sequence[Question]) -> str:
    from jupyterquiz.dynamic import loader, renderer

    entries = [_entry(question) for question in questions]
    # display_quiz draws a random name for its element on each call; one made from the questions repeats.
    name = "quiz" + hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:12]
    # White on each of these, and #333 on the buttons, has a contrast of 4.5:1 or more, whatever the theme.
    colours = {
        "--jq-multiple-choice-bg": "#0b4a6f", "--jq-many-choice-bg": "#5b3a00", "--jq-text-color": "#ffffff",
        "--jq-mc-button-bg": "#fafafa", "--jq-mc-button-border": "#909090", "--jq-mc-button-inset-shadow": "#555555",
        "--jq-correct-color": "#006b4d", "--jq-incorrect-color": "#b04a00", "--jq-link-color": "#9abafa",
    }  # fmt: skip
    start, static, url = loader.load_questions_script(entries, name)
    script = renderer.build_script(start, static, url, name, load_js=True)
    element = renderer.render_div(name, False, True, False, len(entries), 640, 8, "left")
    waiting = f"<p>{len(entries)} questions: run this cell to answer them.</p>"
    # Inside this function there is no MathJax, so jupyterquiz does not fetch one from the internet.
    code = (
        f"(function (MathJax) {{ const quiz = document.getElementById('{name}'); quiz.replaceChildren();\n{script}\n"
        f"{_BUTTONS}}})();"
    )
    # The verdict has its symbol: its colour is left to the theme, which knows its background. Code stands on what is around it:
    # in a dark theme it would be dark on dark. Long words, such as code, break where the page is narrow.
    look = (
        f"<style>#{name} .Feedback {{color: inherit}} #{name} .MCButton:focus-visible {{outline: 3px solid #e69f00}} "
        f"#{name} .Quiz code {{background: none; color: inherit}} "
        f"#{name} .Quiz {{overflow-wrap: anywhere}} #{name} .Answer > * {{min-width: 0}}</style>"
    )
    return f"{renderer.build_styles(name, colours)}{look}{element}{waiting}</div><script>{code}</script>"


def _entry(question: Question) -> dict[str, Any]:
    several = sum(choice.correct for choice in question.choices) > 1
    return {
        "question": cards.markup(question.text + (" (several answers are right)" if several else "")),
        "type": "many_choice" if several else "multiple_choice",
        "answer_cols": 1,
        "answers": [
            {
                "answer": cards.markup(choice.text),
                "correct": choice.correct,
                "feedback": f"{cards.SYMBOLS['right' if choice.correct else 'wrong']} {cards.markup(choice.why)}",
            }
            for choice in question.choices
        ],
    }


def _plain(text: str) -> None:
    # jupyterquiz would read these as mathematics and as links.
    if "$" in text or "](" in text:
        raise ValueError(f"write quiz texts without $ and without Markdown links: {escape(text)!r}")
