"""What stands between the lesson and the learner: predictions, exercises, quizzes, pictures, verdicts.

Everything that is shown has a text twin, so that it can be read aloud, compared by nbval and used outside a notebook.
"""

from course_lib.classroom import answers, interrupts, plots
from course_lib.classroom.drawing import draw
from course_lib.classroom.exercises import Exercise, Wrong, exercise
from course_lib.classroom.explorers import explore
from course_lib.classroom.ledger import ledger
from course_lib.classroom.plots import diagram
from course_lib.classroom.predictions import predict, reveal
from course_lib.classroom.progress import progress, track
from course_lib.classroom.quizzes import Choice, Question, quiz
from course_lib.classroom.stored import stored
from course_lib.classroom.tables import say, table
from course_lib.classroom.verdicts import verdict
from course_lib.study.statements import STATEMENTS

__all__ = [
    "STATEMENTS",
    "Choice",
    "Exercise",
    "Question",
    "Wrong",
    "answers",
    "diagram",
    "draw",
    "exercise",
    "explore",
    "ledger",
    "plots",
    "predict",
    "progress",
    "quiz",
    "reveal",
    "say",
    "stored",
    "table",
    "track",
    "verdict",
]

interrupts.show_as_card()
