"""The server's look at its model: the rows of a run's history, and the best weights so far."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from course_lib.data import Dataset
from course_lib.learning import evaluation
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.preparation import Job


class Judge:
    """Tests the server's weights where the job asks for it, and keeps what came out."""

    def __init__(
        self, job: Job, test: Dataset | None, validation: Dataset | None, participants: Participants, notes: Notes
    ) -> None:
        self.job, self.test, self.validation, self.notes = job, test, validation, notes
        self.participants, self.model, self.recorder = participants, participants.model, participants.recorder
        self.checkpoints: list[dict[str, Any]] = []
        self.best: Tensor | None = None

    def look(self, theta: Tensor, done: int, started: float) -> bool:
        """Test the weights `(d,)` after `done` rounds, where it is time to; return whether the run may stop."""
        job = self.job
        if done % job.evaluate_every and done != len(job.attendance):
            return False
        accuracy, loss = self._judged(theta, self.test)
        row = {"round": done, "accuracy": accuracy, "loss": loss}
        decides = "accuracy"
        if self.validation is not None:
            decides = "validation_accuracy"
            row[decides], _ = self._judged(theta, self.validation)
        if not any(before[decides] >= row[decides] for before in self.checkpoints):
            self.best = theta
        row["seconds"] = time.perf_counter() - started
        self.checkpoints.append(row | self.notes.since_last())
        return job.stop_at is not None and row[decides] >= job.stop_at

    def restore(self, rows: Sequence[Mapping[str, Any]], best: Tensor | None) -> None:
        """Go on from the rows of a history, and the best weights, of before."""
        self.checkpoints, self.best = [dict(row) for row in rows], best

    def _judged(self, theta: Tensor, dataset: Dataset | None) -> tuple[float, float]:
        """Return accuracy and loss of these weights; NaN without a data set, or where nobody uses the server's model."""
        if dataset is None or not self.participants.pipeline.strategy.one_model:
            return float("nan"), float("nan")
        with self.recorder.phase("computing"):
            self.model.theta.copy_(theta)
            return evaluation.accuracy_and_loss(self.model.module, dataset)
