"""What the participants that a process hosts do: train, and make a message of it."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from course_lib.cluster.traffic import Recorder
from course_lib.data import Dataset
from course_lib.federated.pipeline import NOTHING, Pipeline, States, is_like
from course_lib.federated.stage import Turn
from course_lib.federated.strategy import LocalWork
from course_lib.learning import keys, sgd
from course_lib.rounds.exchange import Held, is_finite
from course_lib.rounds.preparation import Job, local_steps, turns

# Whose data the server's own is, among the participants.
SERVER_OWN = -1


class Participants:
    """The participants of one process, with the raw data and the state of each; they share one model in memory."""

    def __init__(self, job: Job, model: sgd.FlatModel, recorder: Recorder) -> None:
        self.job, self.plan, self.model, self.recorder = job, job.plan, model, recorder
        self.pipeline = Pipeline(self.plan.way, self.plan.stages, model.theta.numel())
        self.shards: Mapping[int, Dataset] = {}
        self.states: dict[int, States] = {}
        # Out of step a round is somebody else's more often than not, so a participant counts the rounds that it works in.
        self.turns = turns(job.attendance) if job.plan.asynchronous else {}
        # Messages that are to come in a later round.
        self.held: Held = {}
        # What those who sent a message in this round will remember, once the server has used it.
        self._proposed: dict[int, States] = {}
        # Messages of this round that were made together with another's.
        self._made: dict[int, tuple[Any, States]] = {}

    def message(self, participant: int, received: Tensor, round_index: int, shares: Mapping[int, float]) -> Any:
        """Return what a participant sends after its part in a round; `shares`: of its local steps, for each who takes part.

        What it remembers of the round is only proposed: `settle` makes it so.
        """
        with self.recorder.phase("computing"):
            if participant not in self._made:
                joint = self.pipeline.acts_jointly(participant)
                group = [one for one in shares if self.pipeline.acts_jointly(one)] if joint else [participant]
                states = {one: self.states.get(one, self.pipeline.fresh) for one in group}
                works = {one: self.work(one, round_index, shares[one]) for one in group}
                self._made |= self.pipeline.messages(
                    received, states, works, self.turn(self._turn(participant, round_index))
                )
            message, proposed = self._made.pop(participant)
            # The sender can tell as well as the server whether a message is of use, so the server need not say.
            if any(proposed) and is_like(message, self.pipeline.blank) and is_finite(self.pipeline.unpacked(message)):
                self._proposed[participant] = proposed
            return message

    def turn(self, round_index: int) -> Turn:
        """Return what a stage is told of a round."""
        return Turn(
            round_index, self.job.seed, len(self.job.attendance[round_index].work),
            self.plan.participation * len(self.job.sizes), self.plan.required, NOTHING,
        )  # fmt: skip

    def lost(self) -> dict[int, Tensor]:
        """Return what packing has lost of each participant's messages, as far as it remembers that: compression is the last stage."""
        last = {participant: states[-1] for participant, states in self.states.items()}
        return {participant: state["lost"] for participant, state in last.items() if "lost" in state}

    def propose_lost(self, participant: int, lost: Tensor) -> None:
        """Let a participant remember what packing lost of its message, once that is used."""
        *others, _ = self._proposed.get(participant, self.states.get(participant, self.pipeline.fresh))
        self._proposed[participant] = (*others, {"lost": lost})

    def settle(self, answering: Iterable[int], *, used: bool) -> None:
        """End a round in which these answered: what they proposed counts if the server has used the round's sound messages, else it
        is forgotten. Others may still wait for theirs to be used."""
        for participant in answering:
            proposed = self._proposed.pop(participant, None)
            if used and proposed is not None:
                self.states[participant] = proposed

    def kept(self) -> dict[str, Any]:
        """Return what the participants remember, and what those still at work have done, as data for a checkpoint."""
        at_work = {
            str(one): [*message, list(self._proposed[one]) if one in self._proposed else None]
            for one, message in self.held.items()
        }
        return {"states": {str(one): list(states) for one, states in self.states.items()}, "at_work": at_work}

    def restore(self, states: Mapping[str, Any], at_work: Mapping[str, Any]) -> None:
        """Go on from what was `kept`."""
        self.states |= {int(one): tuple(own) for one, own in states.items()}
        for one, (message, remark, proposed) in at_work.items():
            self.held[int(one)] = message, remark
            if proposed is not None:
                self._proposed[int(one)] = tuple(proposed)

    def of_the_server(self, root: Dataset | None, theta: Tensor, round_index: int) -> Tensor:
        """Return what the server's own data `root` would change `(d,)`, trained on as a client trains."""
        assert root is not None  # or the run had been refused
        self.shards = {**self.shards, SERVER_OWN: root}
        with self.recorder.phase("computing"):
            return self.work(SERVER_OWN, round_index, 1.0).train(theta)

    def personal(self, participant: int, received: Tensor) -> Tensor:
        """Return the weights `(d,)` that a client uses in the end, from the server's last message."""
        if self.plan.strategy is None:
            return self.pipeline.heard(received)[0]
        with self.recorder.phase("computing"):
            work = self.work(participant, self.plan.rounds, 1.0)
            state = self.states.get(participant, self.pipeline.fresh)[0]
            return self.pipeline.strategy.personal(self.pipeline.heard(received)[0], state, work)

    def work(self, participant: int, round_index: int, share: float) -> LocalWork:
        """Return a participant's work in a round, seeded so that it is the same wherever the participant is hosted."""
        plan, shard = self.plan, self.shards[participant]
        # For dropout and its like. torch.manual_seed would seed every device, and takes as long as a step or two.
        torch.default_generator.manual_seed(
            keys.key(self.job.seed, "layers", participant, self._turn(participant, round_index))
        )
        steps = local_steps(plan, len(shard))
        return LocalWork(
            self.model, shard, plan.learning_rate, plan.batch_size, self._turn(participant, round_index) * steps,
            max(1, round(share * steps)),
            sgd.batch_key(self.job.seed, participant), self.plan.steps_by,
        )  # fmt: skip

    def _turn(self, participant: int, round_index: int) -> int:
        """Return where in its walk through its shard a participant is in a round, in rounds."""
        return self.turns.get((participant, round_index), round_index)

    def examples(self, participant: int, round_index: int) -> float:
        """Return how many examples a participant's steps of a round go through: its weight in the mean."""
        size = self.job.sizes[participant]
        batch = self.plan.batch_size or size
        steps = local_steps(self.plan, size)
        per_epoch = sgd.steps_an_epoch(size, batch)
        if self.pipeline.alike:
            return 1.0
        if self.plan.steps_by is not None:
            return float(size)  # batches are drawn at random, and what is in one is nobody's business
        if self.pipeline.strategy.by_examples:
            return steps * size / per_epoch  # what a round goes through on average
        first_step = self._turn(participant, round_index) * steps
        # The last batch of each epoch that ends in these steps lacks some.
        ends = (first_step + steps) // per_epoch - first_step // per_epoch
        return steps * batch - ends * (per_epoch * batch - size)
