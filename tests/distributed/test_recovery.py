"""Checkpoints are there in full or not at all, damage is noticed and named, and reading one runs nothing."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.cluster import WorkerError
from course_lib.distributed import recovery
from course_lib.distributed.packed import pack, unpack
from course_lib.distributed.recovery import Checkpoints, DamagedError

OWN = {"seed": "3", "plan.rounds": "20"}
CONTENT = {"theta": torch.arange(5.0), "rows": [{"round": 1, "accuracy": float("nan")}], "best": None}


def kept(folder: Path, rounds: int = 3) -> Checkpoints:
    """Return checkpoints after 10, 20, ... rounds that each remember their number."""
    checkpoints = Checkpoints(folder)
    for number in range(1, rounds + 1):
        checkpoints.save(10 * number, OWN, {**CONTENT, "number": number})
    return checkpoints


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), inner),
))  # fmt: skip
def test_numbers_and_text_come_back_as_they_were(content: Any) -> None:
    assert unpack(pack(content)) == content


@pytest.mark.parametrize("tensor", [
    torch.tensor(0.1), torch.zeros(0), torch.zeros(3, 0, dtype=torch.int64), torch.randn(3, 4).T, torch.tensor([True, False]),
    torch.tensor([float("nan"), float("-inf"), -0.0]), torch.arange(5, dtype=torch.uint8)[1:], torch.randn(3).bfloat16(),
])  # fmt: skip
def test_tensors_come_back_to_the_bit_with_shape_and_type(tensor: torch.Tensor) -> None:
    number, back = unpack(pack([1, {"state": (tensor,)}]))
    (back,) = back["state"]
    assert number == 1 and (back.shape, back.dtype) == (tensor.shape, tensor.dtype)
    assert (
        back.contiguous().view(-1).view(torch.uint8).tolist() == tensor.contiguous().view(-1).view(torch.uint8).tolist()
    )


@pytest.mark.parametrize(("content", "words"), [
    ({3: "a client"}, "key 3: only text can be a key, such as '3'"), ({"$tensor": 0}, "marks tensors"),
    ([print], "builtin_function_or_method: only numbers"), ({"a", "b"}, "is a set"),
])  # fmt: skip
def test_what_cannot_be_stored_is_refused_with_its_value(content: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        pack(content)
    assert words in str(caught.value)


def test_the_last_checkpoint_is_used_and_the_last_few_are_kept(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, 5)
    assert checkpoints.latest(OWN)["number"] == 5
    assert [path.name for path in checkpoints.files()] == [f"round-{number:06}.checkpoint" for number in (50, 40, 30)]
    assert len(list(tmp_path.iterdir())) == 3  # and nothing else


@pytest.mark.parametrize(("damage", "words"), [
    (lambda file: b"", "it is empty"), (lambda file: file[: len(file) // 2], "its checksum does not fit"),
    (lambda file: file[:10], "it does not begin as a checkpoint does"), (lambda file: file + b"\0", "its checksum does not fit"),
    (lambda file: file[:-7] + bytes([file[-7] ^ 1]) + file[-6:], "its checksum does not fit"),
    (lambda file: b"\0" * len(file), "it does not begin as a checkpoint does"),
])  # fmt: skip
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(damage: Any, words: str, tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    last = checkpoints.files()[0]
    last.write_bytes(damage(last.read_bytes()))
    with pytest.warns(RuntimeWarning, match=rf"round-000030\.checkpoint is damaged \({words}"):
        assert checkpoints.latest(OWN)["number"] == 2


def test_with_every_checkpoint_damaged_there_is_none(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    for path in checkpoints.files():
        path.write_bytes(b"")
    with pytest.warns(RuntimeWarning) as told:
        assert checkpoints.latest(OWN) is None
    assert len(told) == 3


def test_every_cut_and_every_flipped_bit_is_noticed() -> None:
    file = recovery.sealed(pack({"identity": OWN, "content": CONTENT}))
    assert torch.equal(recovery.opened(file)["content"]["theta"], torch.arange(5.0))
    for length in range(len(file)):
        with pytest.raises(DamagedError):
            recovery.opened(file[:length])
    for place in range(len(file)):
        for bit in range(8):
            with pytest.raises(DamagedError):
                recovery.opened(file[:place] + bytes([file[place] ^ 1 << bit]) + file[place + 1 :])


class Malicious:
    """Whoever unpickles this makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.place,)


def test_a_pickle_in_a_checkpoints_place_is_damage_and_never_run(tmp_path: Path) -> None:
    checkpoints, place = kept(tmp_path), tmp_path / "made by the pickle"
    evil = pickle.dumps(Malicious(place))
    last, before, _ = checkpoints.files()
    last.write_bytes(evil)
    before.write_bytes(recovery.sealed(evil))  # even with a checksum that fits
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert checkpoints.latest(OWN)["number"] == 1
    assert not place.exists()
    pickle.loads(evil)
    assert place.exists()  # or this test could not fail


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of another run: seed is not the same; .* take another folder"):
        kept(tmp_path).latest({"seed": "4", "plan.rounds": "20"})
    with pytest.raises(ValueError, match=r"plan\.rounds, train are not the same"):
        kept(tmp_path).latest({"seed": "3", "plan.rounds": "30", "train": "a"})


def test_unfinished_files_are_swept_and_others_are_left_alone(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    for name in ("round-000040.checkpoint.123.tmp", "notes.txt", "round-x.checkpoint"):
        (tmp_path / name).write_text("what a killed process left")
    checkpoints.prepare()
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in checkpoints.files()}
    assert left == {"notes.txt", "round-x.checkpoint"} and checkpoints.latest(OWN)["number"] == 3


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"checkpoints cannot be kept in .*file"):
        Checkpoints(tmp_path / "file").prepare()


@pytest.mark.parametrize("settings", [{"every": 0}, {"keep": 0}, {"every": 2.5}, {"keep": True}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Checkpoints(tmp_path, **settings)


def failing(times: int, cause: Any = "died") -> Any:
    """Return a function that loses a worker the first few times it is called, and a list that grows with each call."""
    calls: list[int] = []

    def run() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise WorkerError(f"rank 1 {cause}.\nmore", 1, cause)
        return "done"

    return run, calls


def test_a_run_that_loses_a_worker_is_called_again_at_most_so_often() -> None:
    said: list[str] = []
    run, calls = failing(3)
    assert recovery.restarting(run, 3, said.append) == "done" and len(calls) == 4
    assert said[0] == "rank 1 died. Restart 1 of 3." and len(said) == 3
    run, calls = failing(3)
    with pytest.raises(WorkerError, match="rank 1 died"):
        recovery.restarting(run, 2, said.append)
    assert len(calls) == 3


def test_a_worker_that_raised_is_not_given_another_chance() -> None:
    run, calls = failing(1, "raised")
    with pytest.raises(WorkerError):
        recovery.restarting(run)
    assert len(calls) == 1


@pytest.mark.parametrize("restarts", [-1, 1.5, True])
def test_a_number_of_restarts_that_makes_no_sense_is_refused(restarts: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 0"):
        recovery.restarting(lambda: None, restarts)
