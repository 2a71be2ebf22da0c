"""This course: `rounds.fit`, with one worker or with two."""

from course_lib import rounds
from peers.workload import Measurement, Workload, examples, partition


def measure(workload: Workload, workers: int) -> Measurement:
    """Run the workload as a learner would."""
    clock = Measurement(workload)
    train, test, _ = examples(workload)
    run = rounds.fit(
        workload.new_model(), train, partition(workload), workload.plan, test=test, seed=workload.seed,
        workers=workers, evaluate_every=workload.rounds, progress=lambda done, total: clock.tick(),
    )  # fmt: skip
    clock.judge(run.model)
    return clock
