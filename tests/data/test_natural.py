"""Data that comes with its own clients. Files in their published form are tested where ../shared/data holds them."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import data, models, plans, rounds
from course_lib.data import NaturalClients, download, heart, keyboard, shakespeare

PUBLISHED = Path(__file__).parents[3] / "shared" / "data"
NOBODY = "http://127.0.0.1:9/"  # the discard port: refused at once

Server = tuple[str, Path]


def serve(name: str, server: Server, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes] | None = None) -> None:
    """Serve the published files, under their published checksums, or else `files` under their own."""
    address, folder = server
    remote = replace(download.BY_CLIENT[name], mirrors=(address,))
    if files is None:
        if not (PUBLISHED / name).is_dir():
            pytest.skip(f"the published files of {name} are not in ../shared/data, beside the project")
        for file in remote.checksums:
            shutil.copy(PUBLISHED / name / file, folder)
    else:
        for file, content in files.items():
            (folder / file).write_bytes(content)
        hashes = {file: f"sha256:{hashlib.sha256(content).hexdigest()}" for file, content in files.items()}
        remote = replace(remote, checksums=hashes)
    monkeypatch.setitem(download.BY_CLIENT, name, remote)
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder.parent / "cache"))
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)


def assert_each_example_has_one_owner(found: NaturalClients) -> None:
    for whole, owned in ((found.train, found.clients), (found.test, found.local_tests)):
        assert len(owned) == len(found) == len(set(found.names))
        assert all(len(part) for part in owned)
        assert np.array_equal(np.sort(np.concatenate(owned)), np.arange(len(whole)))
    assert (found.train.shape, found.train.classes) == (found.test.shape, found.test.classes)


# --- keyboard ---


@pytest.mark.slow
def test_the_keyboard_has_a_module_a_client_and_needs_no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA_MIRROR", NOBODY)
    found = data.load_by_client("keyboard")
    assert found.names == keyboard.MODULES and len(found) == 60
    assert_each_example_has_one_owner(found)
    assert found.train.shape == (16,) and len(found.train.classes) == 37
    assert 100_000 < len(found.train) < 200_000
    assert len(found.test) / (len(found.train) + len(found.test)) == pytest.approx(0.2, abs=0.03)
    sizes = sorted(len(part) for part in found.clients)
    assert sizes[-1] > 10 * sizes[0]  # people do not type equally much
    assert repr(found).startswith("NaturalClients('keyboard': 60 clients, ")


@pytest.mark.slow
def test_the_seed_decides_what_is_held_back_and_nothing_else() -> None:
    first, again, other = (data.load_by_client("keyboard", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.x, again.train.x) and torch.equal(first.test.y, again.test.y)
    assert not torch.equal(first.test.x[:500], other.test.x[:500])
    total = len(first.train) + len(first.test)
    assert total == len(other.train) + len(other.test)


@pytest.mark.slow
def test_the_modules_are_read_and_never_imported_with_the_same_result_in_every_process() -> None:
    code = (
        "import sys, hashlib\n"
        "from course_lib.data import keyboard, natural\n"
        "before = set(sys.modules)\n"
        "found = natural.load_by_client('keyboard', seed=3)\n"
        "print(hashlib.sha256(found.train.x.numpy().tobytes() + found.test.y.numpy().tobytes()).hexdigest())\n"
        "print([name for name in keyboard.MODULES if name in set(sys.modules) - before])\n"
        "print('wsgiref' in sys.modules, 'imaplib' in sys.modules)"
    )
    # Hashes of strings, and with them the order of sets, differ from this process.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    here = data.load_by_client("keyboard", seed=3)
    digest = hashlib.sha256(here.train.x.numpy().tobytes() + here.test.y.numpy().tobytes()).hexdigest()
    assert done.stdout.splitlines() == [digest, "[]", "False False"]


def test_a_source_is_not_run_and_each_paragraph_of_its_docstrings_is_found(tmp_path: Path) -> None:
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "__init__.py").write_text('"""First.\n\n    Second,\n    on two lines."""\nraise SystemExit')
    (tmp_path / "loud" / "core.py").write_text(
        'class A:\n    """Third."""\n    async def f(self):\n        "Fourth."\n    x = 1\n    "no docstring"\ndef g(): pass\n'
    )
    assert keyboard._module(tmp_path, "loud") == ["First.", "Second,\non two lines.", "Third.", "Fourth."]


def test_a_python_without_its_sources_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.data.keyboard.sysconfig.get_path", lambda _: str(tmp_path))
    keyboard.paragraphs.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"has no argparse: install a Python"):
        data.load_by_client("keyboard")


@pytest.mark.slow
def test_a_few_rounds_on_the_keyboard_beat_the_most_frequent_character_by_far() -> None:
    found = data.load_by_client("keyboard")
    commonest = torch.bincount(found.test.y).max().item() / len(found.test)
    assert 0.1 < commonest < 0.2
    run = rounds.fit(
        models.causal(), found.train, found.clients,
        plans.fedavg(rounds=5, participation=0.1, epochs=1, batch_size=10, learning_rate=0.1),
        test=found.test, local_tests=found.local_tests, evaluate_every=5,
    )  # fmt: skip
    assert run.accuracy > commonest + 0.12
    assert run.client_accuracy is not None and len(run.client_accuracy) == 60


# --- heart disease ---

ROWS = b"65.0,1.0,4.0,150.0,0.0,0.0,2.0,165.0,0.0,2.0,3.0,?,7.0,3\n45,0,1,?,290,1,0,115,1,0,?,3,3,0\n"


def four_hospitals() -> dict[str, bytes]:
    # Ten of each, so that both classes can be learnt and tested.
    return dict.fromkeys(heart.HOSPITALS.values(), ROWS * 10)


def test_attributes_are_scaled_by_fixed_numbers_and_gaps_lie_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(ROWS)
    found = heart.patients(tmp_path / "rows", "heart_disease")
    assert found.y.tolist() == [1, 0] and found.classes == ("healthy", "heart disease")
    # The cholesterol of 0 is none; the unknown vessels and the unknown blood pressure and slope are in the middle.
    ill = [1, 1, 1.5, 1, 0, -1, 1, 1, -1, 1, 1, 0, 1]
    well = [-1, -1, -1.5, 0, 1, 1, -1, -1, 1, -1, 0, 1.5, -1]
    torch.testing.assert_close(found.x, torch.tensor([ill, well], dtype=torch.float32))


def test_each_hospital_is_a_client_and_tests_on_both_classes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("heart_disease", server, monkeypatch, four_hospitals())
    found = data.load_by_client("heart_disease", test_fraction=0.3)
    assert found.names == ("Cleveland", "Budapest", "Zurich and Basel", "Long Beach")
    assert_each_example_has_one_owner(found)
    assert [len(part) for part in found.clients] == [14] * 4
    assert [found.test.y[part].sum().item() for part in found.local_tests] == [3] * 4


def test_what_one_hospital_learns_from_does_not_depend_on_the_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("heart_disease", server, monkeypatch, four_hospitals())
    before = data.load_by_client("heart_disease")
    changed = four_hospitals() | {"processed.va.data": ROWS.replace(b"65.0", b"95.0") * 12}
    serve("heart_disease", server, monkeypatch, changed)
    after = data.load_by_client("heart_disease")
    for hospital in range(3):
        assert torch.equal(before.train.x[before.clients[hospital]], after.train.x[after.clients[hospital]])
    assert after.train.x[after.clients[3]].max() > before.train.x[before.clients[3]].max()


def test_the_published_hospitals_differ_and_can_be_learnt_together(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("heart_disease", server, monkeypatch)
    found = data.load_by_client("heart_disease")
    assert_each_example_has_one_owner(found)
    both = zip(found.clients, found.local_tests, strict=True)
    assert [len(train) + len(test) for train, test in both] == [303, 294, 123, 200]
    assert found.train.shape == (13,) and found.train.x.abs().max() < 10
    ill = [found.train.y[part].float().mean().item() for part in found.clients]
    assert ill == pytest.approx([139 / 303, 106 / 294, 115 / 123, 149 / 200], abs=0.01)
    run = rounds.fit(
        models.logistic(), found.train, found.clients,
        plans.fedavg(rounds=15, participation=1.0, epochs=1, batch_size=10, learning_rate=0.05),
        test=found.test, local_tests=found.local_tests, evaluate_every=15,
    )  # fmt: skip
    assert run.accuracy > 0.75 > found.test.y.float().mean() + 0.15


# --- Shakespeare ---


def play(**lines: int) -> bytes:
    """A play in the published form: each role says so many different lines of some 80 characters, in turn."""
    words = ["my lord", "good night", "what news", "speak again", "come hither"]
    blocks = [
        f"{role.replace('_', ' ')}:\n{(words[line % 5] + ', ') * 7}\nnumber {'i' * line}."
        for line in range(max(lines.values())) for role, last in lines.items() if line < last
    ]  # fmt: skip
    return ("\n\n".join(blocks) + "\n").encode()


@pytest.mark.slow
def test_each_role_with_enough_to_say_is_a_client(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("shakespeare", server, monkeypatch, {"input.txt": play(Romeo=50, First_Citizen=60, Page=3)})
    found = data.load_by_client("shakespeare")
    assert found.names == ("First Citizen", "Romeo")
    assert_each_example_has_one_owner(found)
    assert found.train.shape == (16,) and found.train.classes == data.load_by_client("keyboard").train.classes


def test_a_speech_is_what_follows_the_role(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_bytes(play(Nurse=60))
    said = shakespeare.speeches(tmp_path / "input.txt")["Nurse"]
    assert len(said) == 60 and said[1] == "good night, " * 7 + "\nnumber i." and "Nurse" not in "".join(said)


@pytest.mark.slow
def test_the_published_plays_have_their_roles_and_can_be_learnt(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("shakespeare", server, monkeypatch)
    found = data.load_by_client("shakespeare")
    assert len(found) == 82 and {"ROMEO", "JULIET", "First Citizen", "KING RICHARD III"} <= set(found.names)
    assert_each_example_has_one_owner(found)
    run = rounds.fit(
        models.causal(), found.train, found.clients,
        plans.fedavg(rounds=4, participation=0.1, epochs=1, batch_size=10, learning_rate=0.15),
        test=found.test, evaluate_every=4,
    )  # fmt: skip
    assert run.accuracy > torch.bincount(found.test.y).max().item() / len(found.test) + 0.05


# --- what goes wrong ---


def test_an_unknown_name_is_answered_with_the_known_ones_and_with_what_to_do_for_others() -> None:
    with pytest.raises(ValueError, match=r"'digits'.*keyboard, heart_disease, shakespeare.*data\.partitions"):
        data.load_by_client("digits")
    with pytest.raises(ValueError, match=r"'keyboard'.*digits.*load_by_client"):
        data.load("keyboard")


@pytest.mark.parametrize("test_fraction", [0.0, 1.0, -0.2, float("nan")])
def test_a_fraction_that_leaves_one_side_empty_is_refused(test_fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"test_fraction={test_fraction}.*0\.2"):
        data.load_by_client("keyboard", test_fraction=test_fraction)


@pytest.mark.parametrize(("name", "file"), [("heart_disease", "processed.va.data"), ("shakespeare", "input.txt")])
def test_a_truncated_file_is_refused_and_never_kept(
    name: str, file: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = four_hospitals() if name == "heart_disease" else {"input.txt": play(Romeo=50, Juliet=60)}
    serve(name, server, monkeypatch, files)
    (server[1] / file).write_bytes(files[file][:-10])
    with pytest.raises(download.DownloadError, match=f"{file} is damaged"):
        data.load_by_client(name)
    assert not (server[1].parent / "cache" / name / file).exists()
    (server[1] / file).write_bytes(files[file])
    assert len(data.load_by_client(name)) >= 2


@pytest.mark.parametrize("name", ["heart_disease", "shakespeare"])
def test_without_internet_the_error_names_the_keyboard(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(download.BY_CLIENT, name, replace(download.BY_CLIENT[name], mirrors=(NOBODY,)))
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)
    with pytest.raises(download.DownloadError, match=r"could not be fetched(.|\n)*data\.load_by_client\('keyboard'\)"):
        data.load_by_client(name)


def test_files_that_are_here_are_read_without_a_word(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serve("heart_disease", server, monkeypatch, four_hospitals())
    data.load_by_client("heart_disease")
    for file in server[1].iterdir():
        file.unlink()
    capfd.readouterr()
    data.load_by_client("heart_disease")
    assert capfd.readouterr() == ("", "")
