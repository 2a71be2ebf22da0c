"""What the participants that a process hosts do: train, and make a message of it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.cluster.traffic import Recorder
from course_lib.data import Dataset
from course_lib.learning import keys, sgd
from course_lib.preparation import Job, local_steps
from course_lib.strategy import LocalWork, State


class Participants:
    """The participants of one process, with the raw data and the state of each; they share one model in memory."""

    def __init__(self, job: Job, model: sgd.FlatModel, recorder: Recorder) -> None:
        self.job, self.plan, self.model, self.recorder = job, job.plan, model, recorder
        self.shards: Mapping[int, Dataset] = {}
        self.states: dict[int, State] = {}
        self._residuals: dict[int, Tensor | None] = {}
        weights = model.theta.numel()
        self.values = self.plan.strategy.message_size(weights) if self.plan.strategy else weights
        packing = self.plan.compression
        # What a message looks like on its way: the server gets ready for it before it comes.
        self.blank = torch.zeros(packing.size(self.values), dtype=torch.uint8) if packing else torch.zeros(self.values)

    def message(self, participant: int, received: Tensor, round_index: int, share: float = 1.0) -> Tensor:
        """Return what a participant sends after its part in a round, in which it takes `share` of its local steps."""
        with self.recorder.phase("computing"):
            message = self._vector(participant, received, round_index, share)
            fault = (self.plan.faults or {}).get(participant)
            if fault is not None:
                message = fault(message, round_index + 1)
            packing = self.plan.compression
            if packing is None or not isinstance(message, Tensor):
                return message
            if (message.shape, message.dtype) != ((self.values,), torch.float32):
                return message
            packed, lost = packing.pack(message, self._residuals.get(participant))
            if lost is None or lost.isfinite().all():  # else one message with NaN would spoil all later ones
                self._residuals[participant] = lost
            return packed

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

    def examples(self, participant: int, round_index: int) -> int:
        """Return how many examples a participant's steps of a round go through: its weight in the mean."""
        size = self.job.sizes[participant]
        batch = self.plan.batch_size or size
        steps = local_steps(self.plan, size)
        per_epoch = sgd.steps_an_epoch(size, batch)
        first_step = round_index * steps
        # The last batch of each epoch that ends in these steps lacks some.
        ends = (first_step + steps) // per_epoch - first_step // per_epoch
        return steps * batch - ends * (per_epoch * batch - size)

    def _vector(self, participant: int, received: Tensor, round_index: int, share: float) -> Tensor:
        """Return the gradient, what the local steps changed, or what the strategy makes of them."""
        work = self.work(participant, round_index, share)
        if self.plan.strategy is not None:
            state = self.states.get(participant, {})
            message, self.states[participant] = self.plan.strategy.client(received, state, work)
            return message
        if self.plan.sends == "gradient":
            self.model.theta.copy_(received)
            return sgd.batch_gradient(
                self.model, work.shard.x, work.shard.y, work.batch_size, work.first_step, work.key
            )  # fmt: skip
        return work.train(received)
