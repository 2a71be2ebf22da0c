"""Flower (Beutel et al. 2020, arXiv 2007.14390): its Simulation Runtime, on Ray actors of one core each.

`ClientApp` and `ServerApp` follow Flower's PyTorch quick start, except that a client's examples are tensors in memory
instead of a `DataLoader`, and that a process builds the model and reads the data once: both only make Flower faster.
"""

import os
from functools import cache
from typing import Any

# Flower and Ray read these when they are imported: neither reports to anybody, and Ray stays on loopback.
os.environ |= {
    "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}  # fmt: skip

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn

from peers.bare_loop import take_steps
from peers.workload import Measurement, Workload, examples, one_thread

CORES = 2
app = ClientApp()


@cache
def _model(workload: Workload) -> nn.Module:
    one_thread()
    return workload.new_model()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received weights on this client's examples and send the result back."""
    content: Any = message.content
    workload = Workload(model=content["config"]["model"], seed=content["config"]["seed"])
    model = _model(workload)
    model.load_state_dict(content["arrays"].to_torch_state_dict())
    shard = examples(workload)[2][int(context.node_config["partition-id"])]
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.learning_rate)
    for _ in range(workload.epochs):
        order = torch.randperm(len(shard))
        batches = zip(shard.x[order].split(workload.batch_size), shard.y[order].split(workload.batch_size), strict=True)
        take_steps(model, optimizer, batches)
    metrics = MetricRecord({"num-examples": len(shard)})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)


def measure(workload: Workload) -> Measurement:
    """Run the workload in Flower's simulation, on two actors."""
    clock = Measurement(workload)
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_train=workload.cohort / workload.clients, fraction_evaluate=0.0,
            min_available_nodes=workload.clients,
        )  # fmt: skip
        model = workload.new_model()

        def after_round(finished: int, arrays: ArrayRecord) -> None:
            if finished:
                clock.tick()

        result = strategy.start(
            grid, ArrayRecord(model.state_dict()), num_rounds=workload.rounds, evaluate_fn=after_round,
            train_config=ConfigRecord({"model": workload.model, "seed": workload.seed}),
        )  # fmt: skip
        model.load_state_dict(result.arrays.to_torch_state_dict())
        clock.judge(model)

    run_simulation(
        server, app, num_supernodes=workload.clients,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": CORES, "log_to_driver": False},
        },
    )  # fmt: skip
    return clock
