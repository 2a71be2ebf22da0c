"""How examples come to be spread over clients: alike, or skewed in labels, sizes or looks.

Each function returns one int64 array of example indices a client. Every example is in exactly one of them. The same seed
gives the same partition. `by_group` and `dirichlet` deal a test set along with the training set, so that each client is tested
on what it trains on (`local_tests` of `rounds.fit`); dealt apart, client 0 could train on one thing and be tested on another.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import overload

import numpy as np
import torch
from torch import Tensor

from course_lib import seeds
from course_lib.data.dataset import Dataset, integer_labels
from course_lib.data.picture import describe, picture

__all__ = ["by_group", "describe", "dirichlet", "feature_skew", "iid", "picture", "quantity_skew", "shards"]

Labels = np.ndarray | Tensor | Sequence[int]
Groups = Sequence[Hashable] | np.ndarray | Tensor
_TRIES = 20


def iid(y: Labels, clients: int, seed: int = 0) -> list[np.ndarray]:
    """Shuffle and cut into equal parts (sizes differ by at most one): every client sees the same mixture.

    Raises ValueError for labels that are not integers, or fewer than one or more clients than examples.
    """
    labels = _checked(y, clients)
    return _sorted(np.array_split(_generator(seed, "iid").permutation(len(labels)), clients))


@overload
def dirichlet(
    y: Labels, clients: int, alpha: float, seed: int = 0, allow_empty: bool = False, *, test_y: None = None
) -> list[np.ndarray]: ...
@overload
def dirichlet(
    y: Labels, clients: int, alpha: float, seed: int = 0, allow_empty: bool = False, *, test_y: Labels
) -> tuple[list[np.ndarray], list[np.ndarray]]: ...
def dirichlet(
    y: Labels, clients: int, alpha: float, seed: int = 0, allow_empty: bool = False, *, test_y: Labels | None = None
) -> list[np.ndarray] | tuple[list[np.ndarray], list[np.ndarray]]:
    """Deal each class in proportions drawn from Dirichlet(alpha): label skew (Yurochkin et al. 2019, arXiv 1905.12022;
    also Hsu et al. 2019, arXiv 1909.06335, and Li et al. 2022, arXiv 2102.02079).

    A large `alpha` gives everyone the same mixture, a small one gives each class to few clients. Draws that leave a client
    empty are repeated; if that does not help, each empty client gets one example of the largest, unless `allow_empty`.
    With `test_y`, returns the partition of the training and of the test set: a client gets the same share of each class in both,
    and one test example of its most frequent class where rounding leaves it none, unless `allow_empty`.

    Raises ValueError as `iid` does, for an alpha that is not above 0, for a class that only one of the two sets has, and for a
    test set too small for every client to get an example.
    """
    labels = _checked(y, clients)
    _check_positive("alpha", alpha)
    generator = _generator(seed, "dirichlet")
    for _ in range(_TRIES):
        parts, shares = _deal_classes(labels, clients, alpha, generator)
        if allow_empty or min(map(len, parts)) > 0:
            break
    parts = _sorted(parts if allow_empty else _without_empty(parts))
    if test_y is None:
        return parts
    test_labels: np.ndarray = integer_labels(test_y).numpy()
    _check_both("class", set(labels.tolist()), set(test_labels.tolist()))
    generator = _generator(seed, "dirichlet test")
    of_class = [generator.permutation(np.flatnonzero(test_labels == label)) for label in np.unique(labels)]
    tests = _cut(of_class, shares)
    if not allow_empty:
        _test_everyone(tests, test_labels, [labels[part] for part in parts])
    return parts, _sorted(tests)


def shards(y: Labels, clients: int, shards_per_client: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Sort by label, cut into equal shards and deal each client some (McMahan et al. 2017, arXiv 1602.05629, section 3).

    With two shards a client most clients hold two classes. Raises ValueError as `iid` does and where there are fewer
    examples than shards.
    """
    labels = _checked(y, clients)
    if not isinstance(shards_per_client, int) or shards_per_client < 1:
        raise ValueError(f"shards_per_client={shards_per_client!r} must be a whole number of at least 1")
    count = clients * shards_per_client
    if count > len(labels):
        raise ValueError(f"{count} shards need as many examples, got {len(labels)}: use fewer clients or shards")
    generator = _generator(seed, "shards")
    # Shuffled before the stable sort, so that a class's examples fall into its shards at random.
    order = generator.permutation(len(labels))
    pieces = np.array_split(order[np.argsort(labels[order], kind="stable")], count)
    dealt = generator.permutation(count).reshape(clients, shards_per_client)
    return _sorted([np.concatenate([pieces[piece] for piece in own]) for own in dealt])


def quantity_skew(y: Labels, clients: int, alpha: float, seed: int = 0) -> list[np.ndarray]:
    """Give clients sizes drawn from Dirichlet(alpha), each at least 1, and the same mixture (Li et al. 2022, arXiv 2102.02079).

    Raises ValueError as `dirichlet` does.
    """
    labels = _checked(y, clients)
    _check_positive("alpha", alpha)
    generator = _generator(seed, "quantity")
    shares = _proportions(generator, alpha, clients)
    # One example each, the rest by share.
    cuts = np.floor(np.cumsum(shares)[:-1] * (len(labels) - clients)).astype(int) + np.arange(1, clients)
    return _sorted(np.split(generator.permutation(len(labels)), cuts))


def feature_skew(dataset: Dataset, clients: int, sigma: float, seed: int = 0) -> tuple[Dataset, list[np.ndarray]]:
    """Return the data set with noise of a client's own level added, and the partition: the same labels look different.

    Client k of n gets Gaussian noise of standard deviation `sigma * k / n` (Li et al. 2022, arXiv 2102.02079, noise-based
    feature skew, there as a variance). Raises ValueError as `iid` does and for a negative sigma.
    """
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma={sigma} must be 0 or more and finite: it is the noise of the noisiest client")
    parts = iid(dataset.y, clients, seed)
    generator = _generator(seed, "noise")
    x = dataset.x.clone()
    for client, indices in enumerate(parts):
        noise = generator.standard_normal((len(indices), *dataset.shape), dtype=np.float32)
        x[torch.from_numpy(indices)] += sigma * client / clients * torch.from_numpy(noise)
    return replace(dataset, x=x), parts


@overload
def by_group(groups: Groups, test_groups: None = None) -> list[np.ndarray]: ...
@overload
def by_group(groups: Groups, test_groups: Groups) -> tuple[list[np.ndarray], list[np.ndarray]]: ...
def by_group(
    groups: Groups, test_groups: Groups | None = None
) -> list[np.ndarray] | tuple[list[np.ndarray], list[np.ndarray]]:
    """Make a client of each group, in the order of `sorted`: `groups[i]` is where example i belongs.

    With `test_groups`, where each test example belongs, returns the partition of the training and of the test set, with the
    same groups in the same order. Raises ValueError where there are no examples, for groups that have no order, such as texts
    among numbers, and for a group that only one of the two sets has.
    """
    members = _members(groups)
    if test_groups is None:
        return list(members.values())
    tests = _members(test_groups)
    _check_both("group", set(members), set(tests))
    return list(members.values()), list(tests.values())


def _checked(y: Labels, clients: int) -> np.ndarray:
    labels: np.ndarray = integer_labels(y).numpy()
    whole = isinstance(clients, int | np.integer) and not isinstance(clients, bool)
    if not (whole and 1 <= clients <= len(labels)):
        raise ValueError(f"clients={clients} must be a whole number from 1 to the number of examples, {len(labels)}")
    return labels


def _members(groups: Groups) -> dict[Hashable, np.ndarray]:
    """Return each group's examples, in the order of the groups."""
    values = groups.tolist() if isinstance(groups, np.ndarray | Tensor) else list(groups)
    if not values:
        raise ValueError("by_group needs at least one example: pass a group for each")
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(values):
        members.setdefault(group, []).append(index)
    try:
        order = sorted(members)  # type: ignore[type-var]
    except TypeError as error:
        raise ValueError(
            f"groups have no order ({error}): name all of them in the same way, such as by text"
        ) from error
    return {group: np.array(members[group], dtype=np.int64) for group in order}


def _check_both(what: str, train: set[Hashable], test: set[Hashable]) -> None:
    """Raise ValueError for what only one of the two sets has."""
    for only, there, missing in ((train - test, "training", "test"), (test - train, "test", "training")):
        if only:
            raise ValueError(
                f"{what} {min(only, key=str)!r} is in the {there} set and not in the {missing} set: no client can be tested on "
                "what it trains on, so leave it out of both"
            )


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={value} must be above 0 and finite: 100 makes clients alike, 0.1 very different")


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seeds.seed(seed), *purpose.encode()])


def _proportions(generator: np.random.Generator, alpha: float, clients: int) -> np.ndarray:
    shares = generator.dirichlet([alpha] * clients)
    if not np.isfinite(shares).all():  # alpha so small that every gamma draw underflows: one client takes it all
        shares = np.zeros(clients)
        shares[generator.integers(clients)] = 1.0
    return shares


def _deal_classes(
    labels: np.ndarray, clients: int, alpha: float, generator: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each client's examples, and of each class the clients' shares `(clients,)`."""
    of_class, shares = [], []
    for label in np.unique(labels):
        of_class.append(generator.permutation(np.flatnonzero(labels == label)))
        shares.append(_proportions(generator, alpha, clients))
    return _cut(of_class, shares), shares


def _cut(of_class: Sequence[np.ndarray], shares: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return each client's examples, where it gets its share of the examples of each class."""
    pieces = []
    for members, share in zip(of_class, shares, strict=True):
        pieces.append(np.split(members, np.round(np.cumsum(share)[:-1] * len(members)).astype(int)))
    return [np.concatenate(part) for part in zip(*pieces, strict=True)]


def _test_everyone(tests: list[np.ndarray], test_labels: np.ndarray, held: Sequence[np.ndarray]) -> None:
    """Give each client without a test example one of the class that it holds most of; `held[k]`: the labels of client k."""
    for client, own in enumerate(tests):
        if len(own):
            continue
        classes, counts = np.unique(held[client], return_counts=True)
        label = classes[counts.argmax()]
        spare = [np.flatnonzero(test_labels[part] == label) if len(part) > 1 else part[:0] for part in tests]
        giver = max(range(len(tests)), key=lambda other: len(spare[other]))
        if not len(spare[giver]):
            raise ValueError(
                f"client {client} would have no test example of class {label}: use fewer clients, or allow_empty=True"
            )
        at = spare[giver][0]
        tests[client], tests[giver] = tests[giver][at : at + 1], np.delete(tests[giver], at)


def _without_empty(parts: list[np.ndarray]) -> list[np.ndarray]:
    parts = list(parts)
    for client, part in enumerate(parts):
        if not len(part):
            largest = max(range(len(parts)), key=lambda other: len(parts[other]))
            parts[client], parts[largest] = parts[largest][:1], parts[largest][1:]
    return parts


def _sorted(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.sort(part).astype(np.int64) for part in parts]
