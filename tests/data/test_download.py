"""Downloads, from a server on loopback that serves files in their published form."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.data import download, idx

RANDOM = np.random.default_rng(0)
NOBODY = "http://127.0.0.1:9/"  # the discard port: refused at once
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def packed(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(side).to_bytes(4, "big") for side in array.shape)
    return gzip.compress(header + array.tobytes())


def mnist_files() -> dict[str, bytes]:
    arrays = [
        RANDOM.integers(256, size=(30, 28, 28)), np.arange(30) % 10, RANDOM.integers(256, size=(20, 28, 28)), np.arange(20) % 10
    ]  # fmt: skip
    return dict(zip(download._IDX, [packed(array.astype(np.uint8)) for array in arrays], strict=True))


def cifar_file() -> bytes:
    archived = io.BytesIO()
    with tarfile.open(fileobj=archived, mode="w:gz") as archive:
        for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
            rows = RANDOM.integers(256, size=(4, 3073)).astype(np.uint8)
            rows[:, 0] = [0, 1, 2, 9]
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            entry.size = rows.nbytes
            archive.addfile(entry, io.BytesIO(rows.tobytes()))
    return archived.getvalue()


def publish(
    name: str, files: dict[str, bytes], server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, *mirrors: str
) -> None:  # fmt: skip
    """Serve the files, and let their own checksums be the published ones."""
    address, folder = server
    for file, content in files.items():
        (folder / file).write_bytes(content)
    checksums = {file: f"md5:{hashlib.md5(content).hexdigest()}" for file, content in files.items()}
    # Nor is the real MNIST of whoever runs the tests to be found.
    remote = replace(download.DATASETS[name], mirrors=mirrors or (address,), checksums=checksums, contents={})
    monkeypatch.setitem(download.DATASETS, name, remote)
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder.parent / "cache"))
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_fetched_once_and_read_as_published(
    name: str, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = mnist_files()
    publish(name, files, server, monkeypatch)
    train, test = data.load(name)
    assert (len(train), len(test), train.shape) == (30, 20, (1, 28, 28))
    raw = np.frombuffer(gzip.decompress(files["train-images-idx3-ubyte.gz"]), np.uint8)[16:].reshape(30, 28, 28)
    np.testing.assert_allclose(train.x[:, 0].numpy() * 255, raw, atol=1e-3)
    assert train.y.tolist() == [i % 10 for i in range(30)] and len(train.classes) == 10
    for file in files:
        (server[1] / file).unlink()
    assert len(data.load(name)[0]) == 30  # now from the cache
    assert capfd.readouterr().err == ""


def test_cifar_is_read_from_the_binary_archive(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    publish("cifar10", {download._CIFAR: cifar_file()}, server, monkeypatch)
    train, test = data.load("cifar10")
    assert (len(train), len(test), train.shape) == (20, 4, (3, 32, 32))
    assert test.y.tolist() == [0, 1, 2, 9] and train.classes[9] == "truck"
    assert train.x.min() >= 0 and train.x.max() <= 1


@pytest.mark.parametrize("damage", ["truncated", "tampered"])
def test_a_damaged_download_is_refused_and_never_kept(
    damage: str, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = mnist_files()
    publish("mnist", files, server, monkeypatch)
    file = download._IDX[0]
    content = files[file]
    (server[1] / file).write_bytes(content[:-100] if damage == "truncated" else content[:-1] + b"x")
    with pytest.raises(download.DownloadError, match=rf"{file} is damaged.*") as refused:
        data.load("mnist")
    expected = download.DATASETS["mnist"].checksums[file].removeprefix("md5:")
    assert expected in str(refused.value)  # what was expected ...
    assert hashlib.md5((server[1] / file).read_bytes()).hexdigest() in str(refused.value)  # ... and what came
    assert not (server[1].parent / "cache" / "mnist" / file).exists()
    (server[1] / file).write_bytes(content)
    assert len(data.load("mnist")[0]) == 30


def test_a_half_file_in_the_cache_is_fetched_again(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = mnist_files()
    publish("mnist", files, server, monkeypatch)
    cached = server[1].parent / "cache" / "mnist" / download._IDX[0]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(files[download._IDX[0]][:50])
    assert len(data.load("mnist")[0]) == 30
    assert cached.read_bytes() == files[download._IDX[0]]


def test_the_next_mirror_is_tried_when_the_first_does_not_answer_or_is_damaged(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("mnist", mnist_files(), server, monkeypatch, NOBODY, server[0] + "missing/", server[0])
    assert len(data.load("mnist")[1]) == 20


def test_a_labs_own_mirror_comes_first(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    publish("mnist", mnist_files(), server, monkeypatch, NOBODY)
    monkeypatch.setenv("COURSE_DATA_MIRROR", server[0].rstrip("/"))
    assert len(data.load("mnist")[1]) == 20


@pytest.mark.parametrize(
    ("name", "embedded"), [("mnist", "mnist5k"), ("fashion_mnist", "mnist5k"), ("cifar10", "digits")]
)
def test_without_internet_the_error_names_the_embedded_alternative(
    name: str, embedded: str, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {download._CIFAR: b"never"} if name == "cifar10" else dict.fromkeys(download._IDX, b"never")
    publish(name, files, server, monkeypatch, NOBODY)
    with pytest.raises(download.DownloadError, match=rf"could not be fetched(.|\n)*data\.load\('{embedded}'\)"):
        data.load(name)


def test_a_cache_that_cannot_be_written_is_named_and_no_mirror_is_blamed(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish("mnist", mnist_files(), server, monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(download.DownloadError, match=r"cannot be kept in .*set COURSE_DATA_DIR to a folder") as caught:
        data.load("mnist")
    assert "http" not in str(caught.value)


# --- MNIST as torchvision leaves it ---


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that torchvision would be given, with all of MNIST in it, unpacked."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published files of MNIST are not in ../shared/data, beside the project")
    root = tmp_path_factory.mktemp("torchvision")
    for file in download._IDX:
        target = root / "MNIST" / "raw" / file.removesuffix(".gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.decompress((PUBLISHED / file).read_bytes()))
    return root


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without internet and without data: home and working folder are new."""
    monkeypatch.setitem(download.DATASETS, "mnist", replace(download.DATASETS["mnist"], mirrors=(NOBODY,)))
    for variable in ("COURSE_DATA_DIR", "COURSE_DATA_MIRROR", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    home, work = tmp_path / "home", tmp_path / "course" / "notebooks"
    for folder in (home, work):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["course/notebooks/data", "course/data", "home/data", "home/.cache/torch", "home/.cache/torch/datasets/vision"],
)
def test_mnist_is_found_in_the_folders_that_torchvision_is_usually_given(
    place: str, unpacked: Path, machine: Path
) -> None:
    (machine / place).parent.mkdir(parents=True, exist_ok=True)
    (machine / place).symlink_to(unpacked)
    train, test = data.load("mnist")
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert (float(train.x.min()), float(train.x.max())) == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["MNIST/raw", "mnist", "."])
def test_mnist_is_found_packed_or_unpacked_in_the_folder_that_one_names(
    place: str, unpacked: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine / "lab" / place
    folder.mkdir(parents=True, exist_ok=True)
    for file in download._IDX[:2]:
        (folder / file).symlink_to(PUBLISHED / file)
    for file in download._IDX[2:]:
        name = file.removesuffix(".gz")
        (folder / name).symlink_to(unpacked / "MNIST" / "raw" / name)
    monkeypatch.setenv("COURSE_DATA_DIR", str(machine / "lab"))
    train, test = data.load("mnist")
    assert torch.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert len(test) == 10_000


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "another file of the same name": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "cut off": lambda content: content[:-1000],
    "packed and cut off": lambda content: gzip.compress(content, 1)[:-1000],
    "packed and altered": lambda content: gzip.compress(content, 1)[:-8] + bytes(8),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_mnists_is_named_and_not_read(damage: str, unpacked: Path, machine: Path) -> None:
    folder = machine / "home" / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file in download._IDX:
        name = file.removesuffix(".gz")
        (folder / name).symlink_to(unpacked / "MNIST" / "raw" / name)
    wrong = folder / "t10k-labels-idx1-ubyte"
    content = wrong.read_bytes()
    wrong.unlink()
    wrong.write_bytes(DAMAGE[damage](content))
    with pytest.raises(download.DownloadError, match=rf"{wrong} is damaged") as refused:
        data.load("mnist")
    assert "t10k-images" not in str(refused.value)  # what is as published is not complained about


def test_a_good_file_elsewhere_makes_up_for_a_damaged_one(tmp_path: Path) -> None:
    for folder, content in (("first", b"damaged"), ("second", b"as published")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_bytes(content)
    places = [tmp_path / "nowhere", tmp_path / "first", tmp_path / "second"]
    found, wrong = idx.find(places, {"file": hashlib.sha256(b"as published").hexdigest()})
    assert found == {"file": tmp_path / "second" / "file"}
    assert len(wrong) == 1 and str(tmp_path / "first") in wrong[0]
