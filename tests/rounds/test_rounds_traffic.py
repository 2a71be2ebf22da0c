"""What leaves a process, read from the recorded messages of a run in real processes."""

import numpy as np
import pytest
import torch

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from tests.stretches import stretches


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    return data.load("digits")


def test_in_federated_learning_only_updates_leave_a_client_and_no_image_is_in_any_message(
    digits: tuple[Dataset, Dataset],
) -> None:
    train, test = digits
    clients = data.partitions.shards(train.y, 8, seed=0)
    plan = plans.fedavg(rounds=3, participation=0.5)
    run = rounds.fit(models.mlp((8,)), train, clients, plan, test=test, workers=2, keep_payloads=True)
    d = sum(parameter.numel() for parameter in run.model.parameters())

    from_clients = run.traffic[run.traffic["sender"].str.startswith("client")]
    assert set(from_clients["kind"]) == {"update"}
    assert len(from_clients) == 3 * 4 and set(from_clients["bytes"]) == {4 * d}
    assert set(run.traffic["kind"]) == {"model", "update", "evaluation"}
    assert run.traffic["crossed"].sum() > 0
    assert len(run.payloads) == len(run.traffic)
    images = set().union(*(stretches(image.flatten()) for image in train.x))
    assert len(images) > 1000
    assert not any(images & stretches(payload.flatten()) for payload in run.payloads)
    assert images & stretches(torch.cat([run.payloads[0].flatten(), train.x[0].flatten()]))
    # The final test of every client is extra.
    assert run.bytes_sent == 2 * 3 * 4 * 4 * d < run.traffic["bytes"].sum()


@pytest.mark.slow
def test_in_a_pooled_run_every_image_crosses_and_the_same_search_finds_it(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 4)
    plan = plans.synchronous_sgd(steps=2, batch_size=8)
    run = rounds.fit(models.mlp((8,)), train, clients, plan, test=test, workers=4, keep_payloads=True)
    is_upload = (run.traffic["kind"] == "data") & run.traffic["sender"].str.startswith("client")
    images = torch.cat([run.payloads[i] for i in np.flatnonzero(is_upload) if run.payloads[i].dtype == torch.float32])
    order = np.concatenate(clients)
    assert torch.equal(images, train.x[order])
    sent = train.x.nbytes + len(train)  # sixteenths as they are, labels in a byte each
    assert run.traffic.loc[is_upload, "bytes"].sum() == sent
    assert run.history["bytes_moved"].iloc[-1] == 2 * sent  # collected, then dealt out


@pytest.mark.slow
def test_pixels_and_labels_travel_as_they_are_stored_in_a_byte_each_and_arrive_unchanged() -> None:
    train, test = (part.subset(range(200)) for part in data.load("mnist5k"))
    plan = plans.synchronous_sgd(steps=2, batch_size=8)
    clients = data.partitions.iid(train.y, 4)
    run = rounds.fit(models.mlp((8,)), train, clients, plan, test=test, workers=4, keep_payloads=True)
    assert run.history["bytes_moved"].iloc[-1] == 2 * len(train) * (28 * 28 + 1)
    alone = rounds.fit(models.mlp((8,)), train, clients, plan, test=test)
    assert run.accuracy == alone.accuracy and run.bytes_sent == alone.bytes_sent
    is_upload = (run.traffic["kind"] == "data") & run.traffic["sender"].str.startswith("client")
    images = torch.cat([run.payloads[at] for at in np.flatnonzero(is_upload)[0::2]])
    assert torch.equal(images.float() / 255, train.x[np.concatenate(clients)])


@pytest.mark.slow
def test_an_all_reduce_sends_the_rings_number_of_bytes(digits: tuple[Dataset, Dataset]) -> None:
    train, _ = digits
    clients = data.partitions.iid(train.y, 4)
    run = rounds.fit(models.mlp((8,)), train, clients, plans.synchronous_sgd(steps=3, batch_size=8), workers=4)
    d = sum(parameter.numel() for parameter in run.model.parameters())
    exchanged = run.traffic[run.traffic["kind"].isin(["gradient", "mean gradient"])]
    assert exchanged["crossed"].all()
    each = exchanged.groupby(["round", "sender"])["bytes"].sum()
    assert each.between(4 * 2 * 3 / 4 * d - 24, 4 * 2 * 3 / 4 * d + 24).all()  # slices differ by one weight
    assert run.traffic.groupby("round")["bytes"].sum().loc[1:].eq(4 * 2 * 3 * d).all()


def test_history_counts_what_the_messages_count(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 10)
    plan = plans.fedavg(rounds=6, participation=0.3, epochs=1)
    run = rounds.fit(models.mlp((8,)), train, clients, plan, test=test, evaluate_every=4)
    d = sum(parameter.numel() for parameter in run.model.parameters())
    assert run.history["round"].tolist() == [4, 6]
    assert run.history["bytes_up"].tolist() == [4 * 3 * 4 * d, 6 * 3 * 4 * d]
    assert run.history["bytes_down"].tolist() == run.history["bytes_up"].tolist()
    assert run.history["bytes_moved"].tolist() == [0, 0]
    assert run.bytes_sent == 2 * 6 * 3 * 4 * d


def test_the_timeline_shows_every_process_computing_talking_and_waiting(digits: tuple[Dataset, Dataset]) -> None:
    train, test = digits
    clients = data.partitions.iid(train.y, 4)
    run = rounds.fit(models.mlp(), train, clients, plans.fedavg(rounds=2, participation=1.0), test=test, workers=2)
    assert set(run.timeline["worker"]) == {0, 1}
    assert set(run.timeline["activity"]) == {"computing", "talking", "waiting"}
    assert (run.timeline["end"] >= run.timeline["start"]).all() and run.timeline["start"].min() == 0.0
