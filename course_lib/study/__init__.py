"""Many runs: plans x seeds, stored as they finish, and what they say with confidence intervals."""

from course_lib.study.grid import StudyError, run
from course_lib.study.results import Study, load

__all__ = ["Study", "StudyError", "load", "run"]
