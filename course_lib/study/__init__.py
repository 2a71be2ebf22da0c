"""Many runs: plans x seeds, stored as they finish, and what they say with confidence intervals."""

from course_lib.study.grid import StudyError, run
from course_lib.study.results import Study, load
from course_lib.study.tuning import Tuned, tune

__all__ = ["Study", "StudyError", "Tuned", "load", "run", "tune"]
