"""What somebody who reads the wire, or the server itself, has of one client: the bytes of a run that kept them."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from course_lib.federated.pipeline import Pipeline

if TYPE_CHECKING:
    from course_lib.rounds.run import Run

_UP = ("gradient", "update", "masked vector")


def captured(run: "Run", client: int, round: int = 1) -> Tensor:
    """Return the vector `(d,)` that a client's message of that round stands for, unpacked as far as the server can.

    A masked vector is returned as what it looks like: its words as numbers from -1 to 1. Raises ValueError for a run without
    payloads, or where that client sent nothing in that round.
    """
    message = _payload(run, round, f"client {client}", "server", _UP)
    weights = sum(parameter.numel() for parameter in run.model.parameters() if parameter.requires_grad)
    if message.dtype == torch.int32:
        return message[:weights].float() / 2**31
    return Pipeline(run.plan.way, run.plan.stages, weights).unpacked(message)


def received(run: "Run", client: int, round: int = 1) -> Tensor:
    """Return the weights `(d,)` that the server had sent to that client. Raises ValueError as `captured` does."""
    return _payload(run, round, "server", f"client {client}", ("model",))


def _payload(run: "Run", round: int, sender: str, receiver: str, kinds: tuple[str, ...]) -> Tensor:
    if len(run.payloads) != len(run.traffic):
        raise ValueError("this run kept no payloads: pass keep_payloads=True to rounds.fit")
    sent = run.traffic.reset_index(drop=True)
    said = sent["kind"].str.partition(":")[0].isin(kinds)
    rows = sent.index[
        (sent["round"] == round) & (sent["sender"] == sender) & (sent["receiver"] == receiver) & said
    ]  # fmt: skip
    if not len(rows):
        raise ValueError(
            f"{sender} sent {receiver} no {' or '.join(kinds)} in round {round}: see run.traffic for who sent what, and when"
        )
    return run.payloads[rows[0]]
