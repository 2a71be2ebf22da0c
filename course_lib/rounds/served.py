"""A round with a server: the model goes out to those who are asked, their messages come back, and process 0 takes the step."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.aggregation import RunningMean
from course_lib.aggregation.rule import Gathered
from course_lib.data import Dataset
from course_lib.federated.fleet import Attendance
from course_lib.federated.pipeline import States
from course_lib.learning import keys
from course_lib.rounds.exchange import (
    NOT_FINITE,
    SERVER,
    Answers,
    Collected,
    Wire,
    diverged,
    finish,
    through_server,
)  # fmt: skip
from course_lib.rounds.notes import Notes
from course_lib.rounds.participants import Participants
from course_lib.rounds.preparation import Job, local_steps
from course_lib.rounds.step import step, weights


class Served:
    """One process's part in the rounds with a server; `root`: on the server, its own data.

    `last`: what the last round that counted came to; some rules begin there.
    """

    def __init__(self, job: Job, wire: Wire, participants: Participants, notes: Notes, root: Dataset | None) -> None:
        self.job, self.plan, self.wire = job, job.plan, wire
        self.participants, self.notes, self.root = participants, notes, root
        self.pipeline, self.is_server = participants.pipeline, wire.rank == 0
        # How many messages make a round count; behind masks, it is the protocol that says so.
        least = self.plan.aggregation.least if self.plan.aggregation else 1
        self.enough = 0 if self.pipeline.counts_empty else max(self.plan.required, least)
        self.last = torch.zeros(self.pipeline.values)

    def round(self, theta: Tensor, states: States, round_index: int, now: Attendance) -> tuple[Tensor, States]:
        """Return the weights `(d,)` after one round, and what the server remembers; a process that only hosts clients knows neither."""
        examples = [
            now.counts.get(client, 1.0) * self.participants.examples(client, now.given.get(client, round_index))
            for client in range(len(self.job.sizes))
        ]
        late = now.staleness(round_index)
        answers = self._exchange(theta, states, round_index, now, weights(examples, late, self.plan.asynchronous))
        enough = self._agree_on_use(now, answers)
        self.participants.settle(now.work, used=enough)
        if answers is None or not self.is_server:
            return theta, states
        self.notes.add(now, answers, skipped=not enough)
        if not answers.count:
            self._check_divergence(answers)
        if not enough:
            return theta, states
        mean = torch.zeros(self.pipeline.values) if answers.mean is None else answers.mean
        self.last = mean
        used = {client: versions for client, versions in late.items() if client not in answers.left_out}
        return step(
            self.pipeline, theta, states, mean, answers.count, examples, used, self.plan.asynchronous,
            self.participants.turn(round_index),
        )  # fmt: skip

    def _exchange(
        self, theta: Tensor, states: States, round_index: int, now: Attendance, weights: dict[int, float]
    ) -> Answers | None:  # fmt: skip
        """Send the model to those who are asked, and bring together what those in `weights` answer."""
        download = self.pipeline.download(theta, states)
        shares = {**dict.fromkeys(now.later, 1.0), **now.work}

        def train(client: int, received: Tensor) -> Any:
            return self.participants.message(client, received, round_index, shares)

        def read(client: int, message: Tensor) -> Tensor:
            """Return the vector that the server averages, from a client's message on the wire."""
            steps = local_steps(self.plan, self.job.sizes[client])
            return self.pipeline.read(message, states, steps, self.plan.learning_rate)

        if self.plan.secure_aggregation is not None:
            from course_lib.rounds.masked import through_masks  # imports cryptography

            return through_masks(
                self.wire, download, now.asked, weights, train, self.pipeline.values, self.plan.secure_aggregation
            )
        return through_server(
            self.wire, download, now, weights, self.plan.sends, train, self.participants.held, self.pipeline.blank, read,
            lambda: self._aggregate(theta, round_index), self.enough,
        )  # fmt: skip

    def _aggregate(self, theta: Tensor, round_index: int) -> Collected:
        """Return what a round's vectors are put into: a mean, or the plan's rule."""
        rule = self.plan.aggregation
        if rule is None:
            return RunningMean()
        given: dict[str, Any] = {}
        if "generator" in rule.needs:
            given["generator"] = keys.generator(self.job.seed, "aggregation", round_index)
        if "start" in rule.needs:
            given["start"] = self.last
        if "reference" in rule.needs:
            given["reference"] = self.participants.of_the_server(self.root, theta, round_index)
        return Gathered(rule, given)

    def _agree_on_use(self, now: Attendance, answers: Answers | None) -> bool:
        """Return whether the round counts, on the server and where clients wait for it to remember what they did.

        Every sound message makes a round count, unless the plan asks for more than one: only then must the server say so.
        """
        enough = answers.count >= self.enough if answers else True
        if self.enough <= 1:
            return enough
        waiting = {self.job.hosts[client] for client in now.work} - {0}
        if self.is_server:
            tell(self.wire, enough, sorted(waiting))
        elif self.wire.rank in waiting:
            return bool(self.wire.take(0, "control").item())
        return enough

    def _check_divergence(self, answers: Answers) -> None:
        """Raise DivergedError where not even one of the clients that work as they should sent finite numbers."""
        honest = [client for client in answers.left_out if client not in (self.plan.faults or {})]
        if honest and all(answers.left_out[client] == NOT_FINITE for client in honest):
            raise diverged(self.wire.name(honest[0]), self.plan.sends, self.wire.recorder.round, self.wire.label)


def tell(wire: Wire, yes: bool, processes: Iterable[int]) -> None:
    """Send the server's decision to other processes."""
    said = torch.tensor([yes], dtype=torch.uint8)
    finish([wire.post(said, process, "control", SERVER, f"process {process}") for process in processes])
