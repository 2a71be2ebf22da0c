"""Flower's SecAgg+ (Bell et al. 2020, eprint 2020/704), as Flower 1.41 ships it: its server workflow and its client mod.

In 1.41 only the legacy workflow has it. Here its grid is a loop that hands each message to the client's mod in this process,
without a network. Two differences to bear in mind: its masks come from numpy's Mersenne Twister, seeded with the shared key
folded to 32 bits, not from a cipher; and its vectors travel as 64-bit numbers.
"""

import os
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0"}  # read when Flower is imported

import logging

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.compat.common import recorddict_compat
from flwr.server import LegacyContext
from flwr.server.client_manager import SimpleClientManager
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray


class Here:
    """Stands in for Flower's grid: every message goes to its client's mod at once.

    What the protocol puts into it is counted; not the model that Flower sends along, masks or no masks.
    """

    def __init__(self, vectors: dict[int, NDArray[np.float32]]) -> None:
        self.bytes = 0
        self._vectors = vectors
        self._contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in vectors}

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return the clients' replies."""
        replies = []
        for message in messages:
            # Messages share their content until they are sent, and the mod takes entries out of what it gets.
            config = ConfigRecord(dict(message.content.config_records[RECORD_KEY_CONFIGS]))
            message.content = RecordDict(dict(message.content) | {RECORD_KEY_CONFIGS: config})
            self.bytes += _bytes(config)
            reply = secaggplus_mod(message, self._contexts[message.metadata.dst_node_id], self._fit)
            self.bytes += _bytes(reply.content.config_records[RECORD_KEY_CONFIGS])
            replies.append(reply)
        return replies

    def _fit(self, message: Message, context: Context) -> Message:
        vector = self._vectors[message.metadata.dst_node_id]
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([vector]), num_examples=1, metrics={})
        return Message(recorddict_compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def _bytes(config: ConfigRecord) -> int:
    # Flower's own count stumbles over an empty list.
    return ConfigRecord({key: value for key, value in config.items() if value != []}).count_bytes()


def aggregate(vectors: dict[int, NDArray[np.float32]], bound: float, shares: int) -> tuple[NDArray[np.float64], int]:
    """Return the mean `(m,)` of one aggregation in which each client has `shares` neighbours, itself included, and the bytes sent.

    Raises RuntimeError when Flower halts.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # as Flower's own processes begin
    nodes = {client + 2: vector for client, vector in vectors.items()}  # 1 is the server's
    manager = SimpleClientManager()
    for node in nodes:
        proxy: Any = SimpleNamespace(cid=str(node), node_id=node)  # the workflow talks to the grid, not to clients
        manager.register(proxy)
    strategy = FedAvg(fraction_fit=1.0, min_fit_clients=len(nodes), min_available_clients=len(nodes))
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy, client_manager=manager)
    zeros = np.zeros_like(next(iter(nodes.values())))
    context.state.config_records["config"] = ConfigRecord({"current_round": 1})
    context.state.array_records["parameters"] = recorddict_compat.parameters_to_arrayrecord(
        ndarrays_to_parameters([zeros]), keep_input=True
    )
    workflow = SecAggPlusWorkflow(
        num_shares=shares, reconstruction_threshold=2 * shares // 3 + 1, max_weight=1, clipping_range=bound,
        quantization_range=2 ** (31 - len(nodes).bit_length()),
    )  # fmt: skip
    grid: Any = Here(nodes)
    workflow(grid, context)
    record = context.state.array_records["parameters"]
    (mean,) = parameters_to_ndarrays(recorddict_compat.arrayrecord_to_parameters(record, keep_input=True))
    if not mean.any():
        raise RuntimeError("Flower's SecAgg+ halted before it had a sum")
    return mean, grid.bytes
