"""The dial: one task learnt at every stop between one machine and private federated learning, and what each stop costs.

`tasks`: the data and the models; `stops`: the plans, one change after the other; `clock`: bytes into seconds on three networks; `runs`:
one run and what is noted of it; `table`: the stored study as a table with intervals and outcomes. `benchmarks/head_to_head.py` runs it all.
"""

from course_lib.study.dial.runs import Job, measure
from course_lib.study.dial.stops import STOPS, Stop
from course_lib.study.dial.table import BUDGETS, Row, Table, read
from course_lib.study.dial.tasks import TASKS, Task

__all__ = ["BUDGETS", "STOPS", "TASKS", "Job", "Row", "Stop", "Table", "Task", "measure", "read"]
