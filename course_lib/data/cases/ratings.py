"""Who likes which film: 120 people who each know some of 60 films, generated; and the same question asked of MovieLens.

A film has a place in a space of four tastes, a person a direction in it; people of one age like alike. Whoever has many films of a kind behind
them likes more of that kind, so what a person liked before says something about the next film; but only together do
people know which films are of one kind.

MovieLens 100k (Harper and Konstan 2015, doi 10.1145/2827872; 943 people, its licence forbids passing it on) comes by download. Of its
1,682 films the 100 that most people rated are kept: what a film is known by is no secret.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from course_lib.data.dataset import Dataset

PEOPLE, FILMS, TASTES = 120, 60, 4
CLASSES = ("does not like it", "likes it")
MOVIELENS_FILMS = 100
_FEWEST = 10  # ratings of those films that a person must have given
_LIKED = 4  # stars of five

_KEY = 20_260_109
Split = dict[str, tuple[Dataset, Dataset]]


def people(seed: int, test_fraction: float) -> Split:
    """Return (train, test) of each person: what `examples` makes of 25 to 55 of 60 films."""
    world = np.random.default_rng(_KEY)
    films, fame = world.normal(0, 1, (FILMS, TASTES)), world.normal(0, 0.6, FILMS)
    groups = 1.2 * world.normal(0, 1, (4, TASTES))
    found = {}
    for index in range(PEOPLE):
        habits, chance = np.random.default_rng([_KEY, index]), np.random.default_rng([seed, _KEY, index])
        taste = groups[habits.integers(len(groups))] + habits.normal(0, 0.5, TASTES)
        seen = chance.choice(FILMS, habits.integers(25, 56), replace=False, p=_softmax(fame))
        chances = 1 / (1 + np.exp(-(films[seen] @ taste + fame[seen] + habits.normal(0, 0.5))))
        liked = chance.uniform(size=len(seen)) < chances
        found[f"Person {index + 1}"] = examples(seen, liked, FILMS, test_fraction, chance, "ratings")
    return found


def examples(
    films: np.ndarray, liked: np.ndarray, catalogue: int, test_fraction: float, chance: np.random.Generator, name: str
) -> tuple[Dataset, Dataset]:
    """Return (train, test) of one person who rated `films: (k,)`, numbers below `catalogue`, as `liked: (k,)`.

    `x: (n, 2, catalogue)`: first what the person thought of each film, 1 liked, -1 not, 0 unknown; then a 1 at the film in question,
    whose own rating is left out of the first. Only ratings for training are in it. `y: (n,)`: 1 where the person likes it.
    """
    order = chance.permutation(len(films))
    tests = min(len(films) - 1, max(1, round(test_fraction * len(films))))
    known = np.zeros(catalogue)
    known[films[order[tests:]]] = np.where(liked[order[tests:]], 1.0, -1.0)
    train, test = (_about(known, films[part], liked[part], name) for part in (order[tests:], order[:tests]))
    return train, test


def _about(known: np.ndarray, films: np.ndarray, liked: np.ndarray, name: str) -> Dataset:
    asked = np.eye(len(known))[films]
    x = np.stack([known * (1 - asked), asked], axis=1)
    return Dataset(name, torch.from_numpy(x).float(), torch.from_numpy(liked.astype(np.int64)), CLASSES)


def _softmax(values: np.ndarray) -> np.ndarray:
    found = np.exp(values - values.max())
    return found / found.sum()


def movielens(path: Path, seed: int, test_fraction: float) -> Split:
    """Return (train, test) of each person in the published archive who rated ten or more of the hundred best known films.

    A rating of 4 or 5 stars is a like. Raises ValueError where the archive has no `ml-100k/u.data` of four columns.
    """
    with zipfile.ZipFile(path) as archive:
        try:
            table = np.loadtxt(io.BytesIO(archive.read("ml-100k/u.data")), dtype=np.int64, delimiter="\t", ndmin=2)
        except KeyError as error:
            raise ValueError(f"{path} has no ml-100k/u.data: it is not the archive that was published") from error
    if table.shape[1] != 4:
        raise ValueError(f"{path}: u.data has {table.shape[1]} columns, it must be user, film, rating and time")
    person, film, stars = table[:, 0], table[:, 1], table[:, 2]
    numbers, counts = np.unique(film, return_counts=True)
    known = np.sort(numbers[np.argsort(-counts, kind="stable")[:MOVIELENS_FILMS]])
    kept = np.isin(film, known)
    found = {}
    for number in np.unique(person[kept]):
        own = kept & (person == number)
        if own.sum() < _FEWEST:
            continue
        chance = np.random.default_rng([seed, _KEY, int(number)])
        rated = np.searchsorted(known, film[own])
        found[f"Person {number}"] = examples(
            rated, stars[own] >= _LIKED, len(known), test_fraction, chance, "movielens"
        )
    return found
