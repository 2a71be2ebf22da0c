import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import data
from course_lib.data import partitions

Partition = list[np.ndarray]
WAYS: dict[str, Callable[[np.ndarray, int, int], Partition]] = {
    "iid": lambda y, clients, seed: partitions.iid(y, clients, seed),
    "dirichlet 0.05": lambda y, clients, seed: partitions.dirichlet(y, clients, 0.05, seed),
    "dirichlet 10": lambda y, clients, seed: partitions.dirichlet(y, clients, 10, seed),
    "shards": lambda y, clients, seed: partitions.shards(y, clients, 1, seed),
    "quantity": lambda y, clients, seed: partitions.quantity_skew(y, clients, 0.3, seed),
}
labelled = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(np.array)


@pytest.mark.parametrize("way", WAYS)
@given(labelled, st.data(), st.integers(0, 2**32))
@settings(deadline=None)
def test_every_example_is_in_exactly_one_client_and_no_client_is_empty(
    way: str, y: np.ndarray, drawn: st.DataObject, seed: int
) -> None:
    clients = drawn.draw(st.integers(1, len(y)))
    parts = WAYS[way](y, clients, seed)
    assert len(parts) == clients and min(map(len, parts)) > 0
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    again = WAYS[way](y, clients, seed)
    assert all(np.array_equal(a, b) and a.dtype == np.int64 for a, b in zip(parts, again, strict=True))


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_groups_become_clients_in_sorted_order(groups: list[str]) -> None:
    parts = partitions.by_group(groups)
    assert [groups[part[0]] for part in parts] == sorted(set(groups))
    assert all(len({groups[index] for index in part}) == 1 for part in parts)
    assert sum(map(len, parts)) == len(groups)


def test_groups_of_train_and_test_are_the_same_clients() -> None:
    groups, test_groups = ["b", "a", "b"], np.array(["a", "a", "b"])
    parts, tests = partitions.by_group(groups, test_groups)
    assert [part.tolist() for part in parts] == [[1], [0, 2]]
    assert [part.tolist() for part in tests] == [[0, 1], [2]]
    for one, other, where in ((["a", "b"], ["a"], "training"), (["a"], ["b", "a"], "test")):
        with pytest.raises(ValueError, match=f"group 'b' is in the {where} set and not in"):
            partitions.by_group(one, other)
    with pytest.raises(ValueError, match="groups have no order"):
        partitions.by_group(["a", 1])


Y = np.repeat(np.arange(10), 400)


def shares(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Each client's share of each class: (clients, classes)."""
    counts = np.stack([np.bincount(Y[part], minlength=10) for part in parts])
    return counts / counts.sum(0)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 10.0])
def test_dirichlet_shares_have_the_mean_and_the_variance_of_the_distribution(alpha: float) -> None:
    drawn = np.stack([shares(partitions.dirichlet(Y, 5, alpha, seed, allow_empty=True)) for seed in range(200)])
    # Each of the 200 x 10 draws is Dirichlet(alpha, ..., alpha) over 5 clients.
    expected = (1 / 5) * (4 / 5) / (5 * alpha + 1)
    assert drawn.mean() == pytest.approx(1 / 5)
    assert drawn.mean(axis=(0, 2)) == pytest.approx(1 / 5, abs=5 * np.sqrt(expected / 2000))
    assert drawn.var(axis=(0, 2)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_dirichlet_gives_a_client_the_same_share_of_a_class_in_train_and_test(alpha: float) -> None:
    test_y = np.repeat(np.arange(10), 100)[::-1]
    parts, tests = partitions.dirichlet(Y, 5, alpha, seed=3, test_y=test_y)
    assert all(np.array_equal(*both) for both in zip(parts, partitions.dirichlet(Y, 5, alpha, seed=3), strict=True))
    assert sorted(np.concatenate(tests).tolist()) == list(range(1000))
    dealt = np.stack([np.bincount(test_y[part], minlength=10) for part in tests]) / 100
    # Rounding may shift each end of a client's share by half an example.
    assert np.abs(dealt - shares(parts)).max() <= 0.0125
    assert not np.array_equal(tests[0], partitions.dirichlet(Y, 5, alpha, seed=4, test_y=test_y)[1][0])


@given(st.data(), st.integers(0, 2**32))
@settings(deadline=None)
def test_dealt_along_every_client_has_a_test_example_of_what_it_trains_on(drawn: st.DataObject, seed: int) -> None:
    y = np.repeat(np.arange(3), 20)
    test_y = np.array(drawn.draw(st.permutations([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])))
    parts, tests = partitions.dirichlet(y, 4, 0.1, seed, test_y=test_y)
    assert sorted(np.concatenate(tests).tolist()) == list(range(12)) and min(map(len, tests)) > 0
    assert all(set(test_y[test]) & set(y[part]) for part, test in zip(parts, tests, strict=True))


def test_dirichlet_refuses_a_class_of_one_side_and_too_few_test_examples() -> None:
    for one, other in (([0, 1, 1], [1, 1]), ([1, 1, 1], [0, 1])):
        with pytest.raises(ValueError, match="class 0 is in the"):
            partitions.dirichlet(one, 1, 1.0, test_y=other)
    with pytest.raises(ValueError, match=r"client \d would have no test example of class 0: use fewer clients"):
        partitions.dirichlet([0] * 20, 5, 1.0, test_y=[0, 0])
    _, tests = partitions.dirichlet([0] * 20, 5, 1.0, allow_empty=True, test_y=[0, 0])
    assert sum(map(len, tests)) == 2


def test_a_large_alpha_makes_clients_alike_and_a_tiny_one_gives_a_class_to_one_client() -> None:
    alike, apart = (shares(partitions.dirichlet(Y, 5, alpha, 0, allow_empty=True)) for alpha in (1e5, 1e-4))
    assert np.abs(alike - 0.2).max() < 0.01
    assert (apart.max(0) > 0.99).all()


def test_two_shards_a_client_hold_two_classes_mostly_and_are_of_one_size() -> None:
    parts = partitions.shards(Y, 100, 2, seed=1)
    assert {len(part) for part in parts} == {40}
    classes = [len(np.unique(Y[part])) for part in parts]
    assert max(classes) == 2 and np.mean(classes) > 1.8


def test_quantity_skew_changes_sizes_and_keeps_the_mixture() -> None:
    parts = partitions.quantity_skew(Y, 5, 0.5, seed=0)
    assert max(map(len, parts)) > 3 * min(map(len, parts))
    largest = max(parts, key=len)
    assert np.bincount(Y[largest]) / len(largest) == pytest.approx(0.1, abs=0.03)


def test_feature_skew_adds_more_noise_from_client_to_client_and_leaves_the_original_alone() -> None:
    train, _ = data.load("digits")
    before = train.x.clone()
    noisy, parts = partitions.feature_skew(train, 4, sigma=0.8, seed=0)
    spread = [(noisy.x[part] - train.x[part]).std().item() for part in parts]
    assert spread == pytest.approx([0, 0.2, 0.4, 0.6], rel=0.05)
    assert torch.equal(train.x, before) and torch.equal(noisy.y, train.y)


def test_other_seeds_give_other_partitions() -> None:
    for way in WAYS.values():
        first, second = way(Y, 10, 0), way(Y, 10, 1)
        assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("clients", [0, -1, 4001, 2.5, True])
def test_zero_clients_and_more_clients_than_examples_are_refused_with_the_number(clients: int) -> None:
    for way in WAYS.values():
        with pytest.raises(ValueError, match=f"clients={clients}"):
            way(Y, clients, 0)


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_an_alpha_that_is_not_above_zero_is_refused(alpha: float) -> None:
    for make in (partitions.dirichlet, partitions.quantity_skew):
        with pytest.raises(ValueError, match=f"alpha={alpha}"):
            make(Y, 4, alpha)


def test_labels_that_are_not_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 0\.5"):
        partitions.iid(np.array([0.0, 0.5]), 1)
    with pytest.raises(ValueError, match="cat"):
        partitions.dirichlet(["cat", "dog"], 1, 1.0)  # type: ignore[list-item]


def test_impossible_shards_noise_and_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="8000 shards"):
        partitions.shards(Y, 4000, 2)
    with pytest.raises(ValueError, match="shards_per_client=0"):
        partitions.shards(Y, 4, 0)
    with pytest.raises(ValueError, match="sigma=-1"):
        partitions.feature_skew(data.load("digits")[0], 4, sigma=-1)
    with pytest.raises(ValueError, match="at least one example"):
        partitions.by_group([])


def test_the_picture_comes_with_the_same_facts_in_words() -> None:
    figure, summary = partitions.picture(Y, partitions.shards(Y, 100, 2))
    assert summary.startswith("100 clients hold 40 examples each, of 1 to 2 of the 10 classes")
    image = io.BytesIO()
    figure.savefig(image)
    assert len(image.getvalue()) > 5000
    _, named = partitions.picture(Y, partitions.iid(Y, 3), classes=[f"class {label}" for label in range(12)])
    assert "of the 12 classes" in named


def test_with_room_kept_the_axes_and_the_colours_of_the_picture_stay_put() -> None:
    drawn = [partitions.picture(Y, partitions.iid(Y, clients), room=6)[0] for clients in (2, 6)]
    limits = {(each.axes[0].get_xlim(), each.axes[0].get_ylim(), each.axes[0].images[0].get_clim()) for each in drawn}
    assert len(limits) == 1
    assert len({tuple(each.get_size_inches()) for each in drawn}) == 1
    with pytest.raises(ValueError, match="room=2 is too little for 6 clients"):
        partitions.picture(Y, partitions.iid(Y, 6), room=2)
