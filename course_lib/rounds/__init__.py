"""THE loop: a plan in, a run out.

It runs in one process, in local worker processes and under torchrun, with the same result for the same seed.
"""

from course_lib.rounds.exchange import DivergedError
from course_lib.rounds.fit import fit
from course_lib.rounds.live import live
from course_lib.rounds.run import Run

__all__ = ["DivergedError", "Run", "fit", "live"]
