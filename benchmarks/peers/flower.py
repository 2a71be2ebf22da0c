"""Flower (Beutel et al. 2020, arXiv 2007.14390): its Simulation Runtime, on Ray actors.

`ClientApp` and `ServerApp` follow Flower's PyTorch quick start, on examples that are already in memory.
"""

import os
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
from torch.utils.data import DataLoader, TensorDataset

from peers.bare_loop import take_steps
from peers.workload import Measurement, Workload, examples

CORES = 2
app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received weights on this client's examples and send the result back."""
    content: Any = message.content
    workload = Workload(model=content["config"]["model"], seed=content["config"]["seed"])
    model = workload.new_model()
    model.load_state_dict(content["arrays"].to_torch_state_dict())
    shard = examples(workload)[2][int(context.node_config["partition-id"])]
    batches = DataLoader(TensorDataset(shard.x, shard.y), batch_size=workload.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.learning_rate)
    for _ in range(workload.epochs):
        take_steps(model, optimizer, batches)
    metrics = MetricRecord({"num-examples": len(shard)})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)


def measure(workload: Workload, cores_a_client: int) -> Measurement:
    """Run the workload on two cores: by Flower's defaults a client uses both, with one each two clients train at a time."""
    os.environ.pop("OMP_NUM_THREADS", None)  # Ray then gives an actor as many threads as it has cores
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
            "client_resources": {"num_cpus": cores_a_client, "num_gpus": 0.0},
            "init_args": {"num_cpus": CORES, "log_to_driver": False},
        },
    )  # fmt: skip
    return clock
