"""What lessons 05 and 06 run on their workers does what its name says."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib import classroom, cluster, models
from course_lib.classroom.lessons import dealing, outages
from course_lib.data.text import ALPHABET, WINDOW
from course_lib.models.gpt import language_targets


def test_training_takes_four_times_the_bytes_of_the_weights() -> None:
    gpt = models.gpt(width=16, heads=4, blocks=1, every_position=True).build((WINDOW,), len(ALPHABET), seed=0)
    x, follows = dealing.four_windows()
    assert dealing.times_the_weights(gpt, x, language_targets(x, follows[:, -1])) == 4


def test_the_stored_stages_go_by_the_names_that_the_lesson_gives_them() -> None:
    rows = dealing.by_stage(classroom.stored("sharded"))
    assert {stage for _, stage in rows} == {"data parallel", "stage 1", "stage 2", "stage 3", "fully_shard"}
    assert rows["4 workers", "stage 3"] == classroom.stored("sharded")["workers"]["4"]["3"]


@pytest.mark.slow
def test_a_worker_that_saves_is_killed_with_its_file_half_written(tmp_path: Path) -> None:
    path, beside = tmp_path / "state", tmp_path / "state.tmp"
    outages.killed_half_way(torch.save, path, growing=path)
    assert path.stat().st_size == outages.HALF
    assert outages.left_by(torch.load, path).startswith("neither: RuntimeError")

    def careful(state: dict[str, Any], path: Path) -> None:
        torch.save(state, beside)
        beside.replace(path)

    outages.killed_half_way(careful, path, growing=beside)
    assert beside.stat().st_size == outages.HALF
    assert outages.left_by(torch.load, path) == "yesterday's checkpoint"
    with pytest.raises(RuntimeError, match=r"elsewhere is not half written: does save write to another file"):
        outages.killed_half_way(careful, path, growing=tmp_path / "elsewhere")


@pytest.mark.slow
def test_a_save_that_raises_is_no_kill(tmp_path: Path) -> None:
    def spoilt(state: dict[str, Any], path: Path) -> None:
        if state["day"] == "today":
            raise OSError("the disk is full")

    with pytest.raises(cluster.WorkerError, match="the disk is full"):
        outages.killed_half_way(spoilt, tmp_path / "state", growing=tmp_path / "state")
    (limits,) = cluster.launch(resource.getrlimit, resource.RLIMIT_FSIZE, workers=1)
    assert limits == resource.getrlimit(resource.RLIMIT_FSIZE)  # the worker lives on as it was


def test_the_best_interval_is_the_one_with_the_least_overhead_and_a_dear_save_makes_it_longer() -> None:
    saves = outages.Saves(classroom.stored("when_to_save"))
    assert saves.best(0.1) < saves.best(1) <= saves.best(3)
    by_hand = [100 * (trained + 2 * 13) / 120 - 100 for trained in saves.trained[10]]  # 12 saves and one before the end
    assert saves.overhead(10, save=2) == pytest.approx(by_hand)


def test_a_model_that_the_points_do_not_determine_is_said_and_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    def refusing(*points: Any) -> Any:
        raise ValueError("two points are too few")

    assert outages.fit_or_say(refusing, [1, 2]) is None
    assert outages.fit_or_say(max, [1, 2]) == 2
