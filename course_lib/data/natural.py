"""Data that came divided into clients: by who typed it, by where the patients were treated, by who speaks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from course_lib import seeds
from course_lib.data import download, heart, keyboard, shakespeare, text
from course_lib.data.cases import hospitals, markets, payments, ratings, road_signs, sensors, voices
from course_lib.data.dataset import Dataset, hold_out
from course_lib.data.sources import check_fraction, stratified

Parts = dict[str, tuple[Dataset, Dataset]]


@dataclass(frozen=True, eq=False)
class NaturalClients:
    """A data set with the clients that it came from, ready for `rounds.fit(model, train, clients, plan, test=test,
    local_tests=local_tests)`.

    `clients` and `local_tests` hold an int64 array of indices for each client, into `train` and into `test`; `names` says
    who each is.
    """

    train: Dataset
    test: Dataset
    clients: list[np.ndarray]
    local_tests: list[np.ndarray]
    names: tuple[str, ...]

    @classmethod
    def of(cls, parts: "Parts") -> "NaturalClients":
        """Return the clients that each come with their own (train, test), such as your own tables, by name."""
        train, test = (_joined(halves) for halves in zip(*parts.values(), strict=True))
        clients, local_tests = (_consecutive(halves) for halves in zip(*parts.values(), strict=True))
        return cls(train, test, clients, local_tests, tuple(parts))

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return (
            f"NaturalClients({self.train.name!r}: {len(self)} clients, {len(self.train)} training and {len(self.test)} test "
            f"examples of shape {self.train.shape}, {len(self.train.classes)} classes)"
        )


def load_by_client(name: str, *, seed: int = 0, test_fraction: float = 0.2) -> NaturalClients:
    """Return a data set with its own clients. Each client's examples are split by `seed`: `test_fraction` are its test.

    "keyboard", no internet: guess the next character; 60 modules of Python's standard library, by their docstrings.
    "shakespeare", downloaded on first use: the same task; 82 roles. Both have examples of 16 characters, as numbers, for
    `models.causal()`; whole paragraphs and speeches go to training or to the test.
    "heart_disease", downloaded on first use: who is ill, from 13 attributes; 920 patients of 4 hospitals. Every scale is
    fixed beforehand and a missing value is put in its middle, so nothing is computed from the patients: see `data.heart`.

    Generated, no internet, and the seed draws the examples as well as the split; see `data.cases`:
    "payments": which of 23,500 card payments are fraud (one in a hundred), from 16 numbers; 20 banks.
    "markets": whether the next day's return falls, stays or rises, from those of the days before; 12 markets. The test is the end.
    "sensors": what the wearer does, from two seconds of an accelerometer, (3, 32); 24 people. "voices": which of eight words is said, from
    a picture of the sound, (1, 16, 16); 16 speakers. "road_signs": which of eight signs a camera sees, (3, 16, 16); 12 cars.
    "ratings": who likes which of 60 films, for `models.taste()`; 120 people. "movielens", downloaded on first use: the same question, 100
    films, real people.
    "hospitals": real patients, malignant or benign, from 30 measurements; dealt to 5 hospitals by a rule that the seed blurs.

    Raises ValueError for an unknown name or a fraction outside (0, 1), download.DownloadError where a file cannot be had,
    FileNotFoundError where Python came without its sources.
    """
    if name not in _SOURCES:
        raise ValueError(
            f"no data set {name!r} comes with its own clients; there are: {', '.join(_SOURCES)}. For others take data.load and "
            "one of data.partitions"
        )
    check_fraction(test_fraction)
    return NaturalClients.of(_SOURCES[name](test_fraction, seeds.seed(seed)))


def _keyboard(test_fraction: float, seed: int) -> Parts:
    # Every 5th character: neighbours teach much the same, and an epoch takes a fifth of the time.
    return _by_author("keyboard", keyboard.paragraphs(), 5, test_fraction, seed)


def _shakespeare(test_fraction: float, seed: int) -> Parts:
    path = download.files("shakespeare")["input.txt"]
    return _by_author("shakespeare", shakespeare.speeches(path), 5, test_fraction, seed)


def _by_author(
    name: str, texts: Mapping[str, Sequence[str]], stride: int, test_fraction: float, seed: int
) -> Parts:  # fmt: skip
    # A generator for each author: the split of one does not depend on the others.
    return {
        author: text.split(written, stride, name, test_fraction, np.random.default_rng([seed, *author.encode()]))
        for author, written in texts.items()
    }


def _heart_disease(test_fraction: float, seed: int) -> Parts:
    paths = download.files("heart_disease")
    return {
        hospital: stratified(heart.patients(paths[file], "heart_disease"), test_fraction, seed)
        for hospital, file in heart.HOSPITALS.items()
    }


def _movielens(test_fraction: float, seed: int) -> Parts:
    return ratings.movielens(download.files("movielens")["ml-100k.zip"], seed, test_fraction)


def _split(
    owners: Callable[[int], Mapping[str, Dataset]], by: Callable[[Dataset, float, int], tuple[Dataset, Dataset]] = hold_out
) -> Callable[[float, int], Parts]:  # fmt: skip
    """Return a source whose owners' examples are split at random; `by=stratified` keeps a rare class on both sides."""

    def source(test_fraction: float, seed: int) -> Parts:
        return {owner: by(own, test_fraction, seed) for owner, own in owners(seed).items()}

    return source


_SOURCES: dict[str, Callable[[float, int], Parts]] = {
    "keyboard": _keyboard, "heart_disease": _heart_disease, "shakespeare": _shakespeare, "movielens": _movielens,
    "payments": _split(payments.banks, stratified), "hospitals": _split(hospitals.hospitals, stratified), "sensors": _split(sensors.people),
    "voices": _split(voices.speakers), "road_signs": _split(road_signs.cars),
    "markets": lambda test_fraction, seed: markets.markets(seed, test_fraction),
    "ratings": lambda test_fraction, seed: ratings.people(seed, test_fraction),
}  # fmt: skip


def _joined(parts: Sequence[Dataset]) -> Dataset:
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    return Dataset(parts[0].name, x, y, parts[0].classes)


def _consecutive(parts: Sequence[Dataset]) -> list[np.ndarray]:
    ends = np.cumsum([len(part) for part in parts])
    return np.split(np.arange(ends[-1]), ends[:-1])
