"""What a run leaves behind."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_lib.cluster.traffic import Message
from course_lib.federated.fleet import Attendance
from course_lib.plans import Plan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from course_lib.privacy.guarantee import Guarantee
    from course_lib.privacy.of_runs import Spending

Span = tuple[str, float, float]


@dataclass
class WorkerLog:
    """What one worker process hands back: its messages, its timeline, and from process 0 what the server saw."""

    messages: list[Message]
    spans: list[Span]
    client_accuracy: dict[int, float]
    payloads: list[Tensor] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    theta: Tensor | None = None
    best: Tensor | None = None
    useless: str = ""
    warning: str = ""
    # On process 0: what each process recorded up to the checkpoint from which this run went on, part by part.
    before: list[list[tuple[list[Message], list[Span]]]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A finished run.

    `history`: a DataFrame with one row an evaluation: round, accuracy (0 to 1) and loss (nats) on the test set, and since the start of the
    run bytes_up (from participants), bytes_down (to them), bytes_moved (raw data), seconds, and simulated_seconds on the
    clients' own devices (NaN where these are not known). Since the row before: left_out (whose messages the server could not
    use, in which round and why), absent (how many answers did not come) and skipped (rounds with too few).
    Out of step also: staleness (mean) and max_staleness of the messages that came, in versions of the weights.
    With a validation set it also has validation_accuracy. Where parts of the model stay with clients (FedPer, FedBN), the server's own
    copy of them is never trained: accuracy and loss are NaN, `best_model` is the last, and client_accuracy is what counts.
    `traffic`: a DataFrame with one row a message: round, sender, receiver, kind, bytes, crossed (between two processes).
    `timeline`: a DataFrame with one row a span: worker, activity (computing, talking, waiting), start, end in seconds.
    `client_accuracy`: `(n,)`, the accuracy of each client's final model on its local tests, or on its own examples.
    `best_model`: the model as it was at its highest accuracy on the validation set, or else on the test set; with neither, at
    the last evaluation. Chosen on the test set, its accuracy there flatters it: to report it, pass a `validation` set.
    `attendance`: who took part in each round, and when.
    `payloads`: the tensors of the messages, in the order of `traffic`, where `keep_payloads` asked for them.
    """

    plan: Plan
    seed: int
    workers: int
    model: nn.Module
    history: "pd.DataFrame"
    traffic: "pd.DataFrame"
    timeline: "pd.DataFrame"
    client_accuracy: "np.ndarray"
    payloads: list[Tensor]
    best_model: nn.Module
    spending: "Spending | None" = None
    attendance: tuple[Attendance, ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """The participants in the order in which their messages came; `Asynchronous(order=...)` replays it."""
        return tuple(participant for now in self.attendance for participant in now.work)

    @property
    def arrivals(self) -> "pd.DataFrame":
        """A DataFrame with one row a message that came: round, participant, staleness (versions of the weights)."""
        import pandas as pd

        rows = [
            (number + 1, participant, late)
            for number, now in enumerate(self.attendance)
            for participant, late in now.staleness(number).items()
        ]
        return pd.DataFrame(rows, columns=["round", "participant", "staleness"])

    @property
    def privacy(self) -> "pd.DataFrame":
        """A DataFrame with one row an evaluation: round, steps and epsilon so far, at one delta for the whole run.

        Raises ValueError for a run that is not private.
        """
        import pandas as pd

        spending = self._spending()
        return pd.DataFrame(
            [(done, spending.steps[done - 1], spending.epsilon(done)) for done in self.history["round"].astype(int)],
            columns=["round", "steps", "epsilon"],
        )

    @property
    def guarantee(self) -> "Guarantee":
        """Epsilon at the end, with delta, unit, neighbours and who is trusted. Raises ValueError for a run that is not private."""
        return self._spending().guarantee(int(self.history["round"].iloc[-1]))

    def _spending(self) -> "Spending":
        if self.spending is None:
            raise ValueError(
                "this run is not private: its plan needs privacy=..., see privacy.example_level and user_level"
            )
        return self.spending

    @property
    def accuracy(self) -> float:
        """The final model's accuracy on the test set, 0 to 1. Raises ValueError for a run without a test set.

        NaN under FedPer and FedBN, where nobody uses the server's model: see `client_accuracy`.
        """
        if self.plan.strategy is not None and not self.plan.strategy.one_model:
            return float("nan")
        final = float(self.history["accuracy"].iloc[-1]) if len(self.history) else float("nan")
        if isnan(final):
            raise ValueError("this run was not tested: pass test=... to rounds.fit")
        return final

    @property
    def bytes_sent(self) -> int:
        """All bytes sent in the run, raw data included, those of the final per-client evaluation left out."""
        return int(self.traffic.loc[self.traffic["kind"] != "evaluation", "bytes"].sum())

    def rounds_to(self, accuracy: float) -> int | None:
        """Return the first evaluated round whose test accuracy reached `accuracy`, or None."""
        reached = self.history.loc[self.history["accuracy"] >= accuracy, "round"]
        return int(reached.iloc[0]) if len(reached) else None


def assemble(
    plan: Plan, seed: int, module: nn.Module, logs: list[WorkerLog], spending: "Spending | None" = None,
    attendance: Sequence[Attendance] = (),
) -> Run:  # fmt: skip
    """Return the Run that the logs of all worker processes, in rank order, add up to.

    Raises ValueError where messages came and the server could use none: the model would be returned untrained.
    """
    if logs[0].useless:
        raise ValueError(
            f"no round of {plan.rounds} could use the messages that came, so nothing was trained; the last one left out: "
            f"{logs[0].useless}"
        )
    import numpy as np
    import pandas as pd

    workers, logs = len(logs), _whole(logs)
    sent: list[tuple[Message, Tensor | None]] = []
    for log in logs:
        kept: list[Tensor | None] = [*log.payloads] or [None] * len(log.messages)
        sent += [pair for pair in zip(log.messages, kept, strict=True) if pair[0].direction == "out"]
    # Stable: a process's messages keep their order within a round.
    sent.sort(key=lambda pair: pair[0].round)
    columns = ["round", "sender", "receiver", "kind", "bytes", "crossed"]
    traffic = pd.DataFrame([[getattr(message, name) for name in columns] for message, _ in sent], columns=columns)
    began = min((start for log in logs for _, start, _ in log.spans), default=0.0)
    timeline = pd.DataFrame(
        [(rank, name, start - began, end - began) for rank, log in enumerate(logs) for name, start, end in log.spans],
        columns=["worker", "activity", "start", "end"],
    )
    accuracies: dict[int, float] = {}
    for log in logs:
        accuracies |= log.client_accuracy
    done = int(logs[0].checkpoints[-1]["round"])
    return Run(
        plan=plan, seed=seed, workers=workers, model=holding(logs[0].theta, module), history=_history(logs[0].checkpoints, traffic),
        traffic=traffic, timeline=timeline, client_accuracy=np.array([accuracies[k] for k in sorted(accuracies)]),
        payloads=[payload for _, payload in sent if payload is not None], best_model=holding(logs[0].best, module), spending=spending,
        attendance=tuple(attendance[:done]),
    )  # fmt: skip


def _whole(logs: list[WorkerLog]) -> list[WorkerLog]:
    """Return the logs with what was recorded before the checkpoint that a run went on from, perhaps by more processes than now."""
    whole = list(logs)
    for rank, parts in enumerate(logs[0].before):
        log = whole[rank] if rank < len(logs) else WorkerLog([], [], {})
        messages = [message for before, _ in parts for message in before]
        spans = [span for _, before in parts for span in before]
        whole[rank : rank + 1] = [replace(log, messages=messages + log.messages, spans=spans + log.spans)]
    return whole


def holding(theta: Tensor | None, module: nn.Module) -> nn.Module:
    """Return a copy of the module with these weights."""
    assert theta is not None
    copy = deepcopy(module)
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(theta, [p for p in copy.parameters() if p.requires_grad])
    return copy


# Towards whoever averages, back from there, and raw data: the three things that bytes are spent on.
_DIRECTIONS = {
    "bytes_up": ("update", "gradient", "masked vector", "keys", "shares", "shares to unmask"),
    "bytes_down": ("model", "mean update", "mean gradient", "all keys", "dealt shares", "survivors"),
    "bytes_moved": ("data",),
}


def _history(checkpoints: list[dict[str, Any]], traffic: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    history = pd.DataFrame(checkpoints)
    said = traffic["kind"].str.split(": ").str[0]  # what follows is a remark
    for column, kinds in _DIRECTIONS.items():
        by_round = traffic[said.isin(kinds)].groupby("round")["bytes"].sum().sort_index().cumsum()
        positions = by_round.index.searchsorted(history["round"], side="right")
        history[column] = [int(by_round.iloc[position - 1]) if position else 0 for position in positions]
    return history
