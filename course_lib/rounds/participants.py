"""What the participants that a process hosts do: train, and make a message of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.cluster.traffic import Recorder
from course_lib.data import Dataset
from course_lib.federated.strategy import LocalWork, State
from course_lib.learning import keys, sgd
from course_lib.rounds.exchange import is_finite, is_like
from course_lib.rounds.preparation import Job, local_steps


class Participants:
    """The participants of one process, with the raw data and the state of each; they share one model in memory."""

    def __init__(self, job: Job, model: sgd.FlatModel, recorder: Recorder) -> None:
        self.job, self.plan, self.model, self.recorder = job, job.plan, model, recorder
        self.shards: Mapping[int, Dataset] = {}
        self.states: dict[int, State] = {}
        self._residuals: dict[int, Tensor | None] = {}
        # What those who sent a message in this round will remember, once the server has used it.
        self._proposed: dict[int, tuple[State, Tensor | None]] = {}
        weights = model.theta.numel()
        self.values = self.plan.strategy.message_size(weights) if self.plan.strategy else weights
        packing = self.plan.compression
        # What a message looks like on its way: the server gets ready for it before it comes.
        self._unpacked = torch.zeros(self.values)
        self.blank = torch.zeros(packing.size(self.values), dtype=torch.uint8) if packing else self._unpacked

    def message(self, participant: int, received: Tensor, round_index: int, share: float = 1.0) -> Any:
        """Return what a participant sends after its part in a round, in which it takes `share` of its local steps.

        What it remembers of the round is only proposed: `settle` makes it so.
        """
        with self.recorder.phase("computing"):
            vector, state = self._vector(participant, received, round_index, share)
            message: Any = vector
            fault = (self.plan.faults or {}).get(participant)
            if fault is not None:
                message = fault(message, round_index + 1)
            packing, lost = self.plan.compression, None
            if packing is not None and is_like(message, self._unpacked):
                message, lost = packing.pack(message, self._residuals.get(participant))
            # The sender can tell as well as the server whether a message is of use, so the server need not say.
            if (state or lost is not None) and is_like(message, self.blank) and is_finite(self.unpack(message)):
                self._proposed[participant] = state, lost
            return message

    def settle(self, *, used: bool) -> None:
        """End a round: what was proposed counts if the server has used the round's sound messages, else it is forgotten."""
        if used:
            for participant, (state, lost) in self._proposed.items():
                self.states[participant], self._residuals[participant] = state, lost
        self._proposed = {}

    def unpack(self, message: Tensor) -> Tensor:
        """Return the vector `(m,)` that a message on the wire stands for."""
        return self.plan.compression.unpack(message, self.values) if self.plan.compression else message

    def personal(self, participant: int, received: Tensor) -> Tensor:
        """Return the weights `(d,)` that a client uses in the end, from the server's last message."""
        if self.plan.strategy is None:
            return received
        with self.recorder.phase("computing"):
            work = self.work(participant, self.plan.rounds, 1.0)
            return self.plan.strategy.personal(received, self.states.get(participant, {}), work)

    def work(self, participant: int, round_index: int, share: float) -> LocalWork:
        """Return a participant's work in a round, seeded so that it is the same wherever the participant is hosted."""
        plan, shard = self.plan, self.shards[participant]
        # For dropout and its like. torch.manual_seed would seed every device, and takes as long as a step or two.
        torch.default_generator.manual_seed(keys.key(self.job.seed, "layers", participant, round_index))
        steps = local_steps(plan, self.job.sizes[participant])
        return LocalWork(
            self.model, shard, plan.learning_rate, plan.batch_size, round_index * steps, max(1, round(share * steps)),
            sgd.batch_key(self.job.seed, participant),
        )  # fmt: skip

    def examples(self, participant: int, round_index: int) -> float:
        """Return how many examples a participant's steps of a round go through: its weight in the mean."""
        size = self.job.sizes[participant]
        batch = self.plan.batch_size or size
        steps = local_steps(self.plan, size)
        per_epoch = sgd.steps_an_epoch(size, batch)
        if self.plan.strategy is not None and self.plan.strategy.by_examples:
            return steps * size / per_epoch  # what a round goes through on average
        first_step = round_index * steps
        # The last batch of each epoch that ends in these steps lacks some.
        ends = (first_step + steps) // per_epoch - first_step // per_epoch
        return steps * batch - ends * (per_epoch * batch - size)

    def _vector(self, participant: int, received: Tensor, round_index: int, share: float) -> tuple[Tensor, State]:
        """Return the gradient, what the local steps changed, or what the strategy makes of them; and what to remember."""
        work = self.work(participant, round_index, share)
        if self.plan.strategy is not None:
            state = self.states.get(participant, {})
            return self.plan.strategy.client(received, state, work)
        if self.plan.sends == "gradient":
            self.model.theta.copy_(received)
            shard = work.shard
            return sgd.batch_gradient(self.model, shard.x, shard.y, work.batch_size, work.first_step, work.key), {}
        return work.train(received), {}
