"""IFCA: every client ends in the group of those who want what it wants."""

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from course_lib import data, models, plans, rounds
from course_lib.data import Dataset
from course_lib.federated.clustering import IFCA

PLAN = plans.fedavg(rounds=15, participation=1.0, epochs=2, batch_size=10, learning_rate=0.3)


def two_worlds() -> tuple[Dataset, list[range]]:
    """Eight clients; the last four have every label the other way round."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator)
    y = (x[:, 0] > 0).long()
    y[200:] = 1 - y[200:]
    return data.from_arrays(x, y), [range(50 * k, 50 * k + 50) for k in range(8)]


def test_two_groups_that_contradict_each_other_get_a_model_each() -> None:
    train, clients = two_worlds()
    shared = rounds.fit(models.logistic(), train, clients, PLAN, seed=1)
    clustered = rounds.fit(models.logistic(), train, clients, PLAN.but(strategy=IFCA(2)), seed=1)
    assert shared.client_accuracy.mean() < 0.65
    assert clustered.client_accuracy.min() > 0.9


def test_a_model_that_all_choose_is_averaged_as_by_fedavg_and_one_that_nobody_chooses_stays() -> None:
    train, clients = two_worlds()
    alike, spec = clients[:4], models.logistic()
    plan = PLAN.but(rounds=1)
    start = IFCA(2).fitted(spec.build(train.shape, 2, seed=1))
    assert isinstance(start, IFCA) and start.initial is not None
    far = 50.0 * torch.linspace(-1, 1, start.initial.shape[1])  # fits nobody

    class FarAway(IFCA):
        def fitted(self, module: torch.nn.Module) -> "IFCA":
            fitted = super().fitted(module)
            assert isinstance(fitted, IFCA) and fitted.initial is not None
            return type(self)(self.clusters, torch.stack([fitted.initial[0], far]))

    run = rounds.fit(spec, train, alike, plan.but(strategy=FarAway(2)), seed=1, keep_payloads=True)
    plain = rounds.fit(spec, train, alike, plan, seed=1)
    ours, theirs = (parameters_to_vector(one.model.parameters()) for one in (run, plain))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    last = [p for p, kind in zip(run.payloads, run.traffic["kind"], strict=True) if kind == "evaluation"]
    assert all(torch.equal(payload.view(2, -1)[1], far) for payload in last)


def test_the_models_differ_at_the_start_and_from_seed_to_seed() -> None:
    first, again, other = (IFCA(3).fitted(models.logistic().build((5,), 2, seed=seed)) for seed in (0, 0, 1))
    assert isinstance(first, IFCA) and isinstance(again, IFCA) and isinstance(other, IFCA)
    assert first.initial is not None and again.initial is not None and other.initial is not None
    assert torch.equal(first.initial, again.initial)
    assert len({row.numpy().tobytes() for row in torch.cat([first.initial, other.initial])}) == 6


def test_all_models_are_paid_for() -> None:
    train, clients = two_worlds()
    run = rounds.fit(models.logistic(), train, clients, PLAN.but(rounds=1, strategy=IFCA(3)), seed=0)
    sizes = run.traffic.groupby("kind")["bytes"].unique()
    weights = 5 * 2 + 2
    assert list(sizes["model"]) == [4 * 3 * weights]
    assert list(sizes["update"]) == [4 * (3 * weights + 3)]


def test_one_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="clusters=1 must be at least 2"):
        IFCA(1)
