"""Files from the internet: fetched once, checked, and never half read.

MNIST: LeCun et al. 1998. Fashion-MNIST: Xiao et al. 2017, arXiv 1708.07747. CIFAR-10: Krizhevsky 2009. MovieLens: Harper and
Konstan 2015. Their checksums are those that the publishers give. Heart disease: Janosi et al. 1988. Tiny Shakespeare: Karpathy
2015. For these nobody gives any, so theirs were taken from the files.
"""

import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from course_lib.data import idx

Arrays = tuple[np.ndarray, np.ndarray]

_IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR = "cifar-10-binary.tar.gz"


class DownloadError(RuntimeError):
    """A data set's file could not be had, or is not the file that was published."""


@dataclass(frozen=True)
class Remote:
    """A published data set: `mirrors` (folders, tried in turn), the checksum of each file (`md5:...` or `sha256:...`), and
    what to use without internet.

    `contents`: for files that are also looked for where torchvision leaves them, the sha256 of what is in each, unpacked.
    """

    mirrors: tuple[str, ...]
    checksums: Mapping[str, str]
    embedded: str
    classes: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)


def _idx_files(*checksums: str) -> Mapping[str, str]:
    return {file: f"md5:{checksum}" for file, checksum in zip(_IDX, checksums, strict=True)}


DATASETS: dict[str, Remote] = {
    "mnist": Remote(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        _idx_files(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        "data.load('mnist5k')", tuple("0123456789"),
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion_mnist": Remote(
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        _idx_files(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        "data.load('mnist5k')", _CLOTHES,
    ),
    "cifar10": Remote(
        ("https://www.cs.toronto.edu/~kriz/",), {_CIFAR: "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        "data.load('digits')", _THINGS,
    ),
}  # fmt: skip

# These come divided into clients.
BY_CLIENT: dict[str, Remote] = {
    "heart_disease": Remote(
        ("https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/",),
        {
            "processed.cleveland.data": "sha256:a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
            "processed.hungarian.data": "sha256:d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
            "processed.switzerland.data": "sha256:834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
            "processed.va.data": "sha256:e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
        },
        "data.load_by_client('keyboard')",
    ),
    "shakespeare": Remote(
        ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",),
        {"input.txt": "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
        "data.load_by_client('keyboard')",
    ),
    "movielens": Remote(
        ("https://files.grouplens.org/datasets/movielens/",), {"ml-100k.zip": "md5:0e33842e24a9c977be4e0107933c0723"},
        "data.load_by_client('ratings')",
    ),
}  # fmt: skip


def fetch(name: str) -> tuple[Arrays, Arrays]:
    """Return ((train pixels, train labels), (test pixels, test labels)) as bytes, pixels `(n, channels, height, width)`.

    Raises DownloadError, see `files`.
    """
    paths = files(name)
    if name == "cifar10":
        return _read_cifar(paths[_CIFAR])
    images, labels, test_images, test_labels = (idx.read(paths[file]) for file in _IDX)
    return (images[:, None], labels), (test_images[:, None], test_labels)


def files(name: str) -> dict[str, Path]:
    """Return the path of each checked file of a data set; what is not on this machine is downloaded.

    Files are kept in COURSE_DATA_DIR or the user's cache; MNIST is also found there, and where torchvision keeps it, as torchvision
    leaves it: see `idx.folders`. COURSE_DATA_MIRROR names a folder on the web to try first, such as a lab's own server.
    Raises DownloadError, naming the file, the reason and what to do.
    """
    import pooch

    remote = DATASETS[name] if name in DATASETS else BY_CLIENT[name]
    own = Path(os.environ.get("COURSE_DATA_DIR") or pooch.os_cache("dml-vs-fl"))
    found, wrong = idx.find(idx.folders(own), remote.contents)
    return {
        file: found.get(file.removesuffix(".gz")) or _file(name, remote, file, own / name, wrong)
        for file in remote.checksums
    }


def _file(name: str, remote: Remote, file: str, folder: Path, wrong: list[str]) -> Path:
    """Return the path of a checked file, from the folder or else from the first mirror that has it.

    `wrong`: what was found on this machine and cannot be used; named where the file cannot be had otherwise.
    """
    import pooch
    import requests

    own = os.environ.get("COURSE_DATA_MIRROR")
    mirrors = ([own.rstrip("/") + "/"] if own else []) + list(remote.mirrors)
    pooch.get_logger().setLevel("ERROR")  # it reports each step on stderr; the bar below is enough
    failures = list(wrong)
    for mirror in mirrors:
        try:
            # pooch downloads beside the target, compares the checksum and only then moves the file into place.
            return Path(
                pooch.retrieve(mirror + file, known_hash=remote.checksums[file], fname=file, path=folder,
                               downloader=pooch.HTTPDownloader(progressbar=_bar(file), timeout=30))
            )  # fmt: skip
        except ValueError as error:  # the checksum
            failures.append(f"{mirror}{file} is damaged or was changed ({' '.join(str(error).split())})")
        except OSError as error:
            if not isinstance(error, requests.RequestException):  # those are OSErrors too, but no fault of this disk
                raise DownloadError(
                    f"the data set {name!r} cannot be kept in {folder} ({type(error).__name__}: {error}): set COURSE_DATA_DIR to a "
                    f"folder that you can write to and that has room; or use the embedded {remote.embedded}"
                ) from error
            failures.append(f"{mirror}{file} could not be fetched ({type(error).__name__}: {str(error)[:150]})")
    raise DownloadError(
        f"the data set {name!r} is not on this machine and could not be downloaded:\n- "
        + "\n- ".join(failures)
        + f"\nWithout internet, use the embedded {remote.embedded}; or put the file {file} into {folder}; or "
        "set COURSE_DATA_MIRROR to a web address that has it. A download that broke off can simply be started again."
    )


def _bar(file: str) -> object:
    import sys

    from tqdm import tqdm

    # The total is set when the server has told it; until then pooch needs some total to see that there is a bar. A file that
    # is already here, or soon is, shows none.
    return tqdm(total=1, delay=1, desc=file, unit="B", unit_scale=True, file=sys.stdout, leave=False)


def _read_cifar(path: Path) -> tuple[Arrays, Arrays]:
    # The binary version: unlike the pickled one, reading it cannot run code.
    def read(archive: tarfile.TarFile, member: str) -> np.ndarray:
        stream = archive.extractfile(f"cifar-10-batches-bin/{member}.bin")
        if stream is None:
            raise DownloadError(f"{path} has no {member}.bin: delete it and load the data set again")
        return np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32)

    with tarfile.open(path) as archive:
        train = np.concatenate([read(archive, f"data_batch_{number}") for number in range(1, 6)])
        test = read(archive, "test_batch")
    return (train[:, 1:].reshape(-1, 3, 32, 32), train[:, 0]), (test[:, 1:].reshape(-1, 3, 32, 32), test[:, 0])
