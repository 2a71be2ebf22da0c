"""The study of lesson 11 is what its command makes, and its attacks do what they say."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import leakage as benchmark

from course_lib import data, models


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


def test_the_stored_study_holds_every_row_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    assert [row["setting"] for row in study["attacks"]] == list(benchmark.SETTINGS)
    assert [row["setting"] for row in study["prices"]] == list(benchmark.PRICED)
    assert study["seeds"] == list(benchmark.SEEDS)
    for row in study["attacks"] + study["prices"]:
        assert len(row["runs"]) == len(benchmark.SEEDS) >= 5
    for row in study["attacks"]:
        assert ("search" in row["runs"][0]) == benchmark.SETTINGS[row["setting"]].search


def test_a_stored_row_comes_out_again(study: dict[str, Any]) -> None:
    train, _ = data.load("mnist5k")
    [row] = [row for row in study["attacks"] if row["setting"] == "images 8"]
    again = benchmark.attacked(benchmark.Setting(benchmark.GRADIENT, 8, search=False), 0, train)
    stored = row["runs"][0]
    assert again["division"]["psnr"] == pytest.approx(stored["division"]["psnr"], abs=1.5)
    assert again["guess"] == stored["guess"]
    assert again["labels right"] == stored["labels right"]


def test_the_sum_behind_masks_is_the_gradient_of_everybodys_images(study: dict[str, Any]) -> None:
    train, _ = data.load("mnist5k")
    setting = benchmark.SETTINGS["the sum of 2"]
    found = benchmark.attacked(replace(setting, search=False), 3, train)
    assert found["labels right"] == 1
    [row] = [row for row in study["attacks"] if row["setting"] == "the sum of 2"]
    assert min(run["search"]["ssim"] for run in row["runs"]) > 0.9


def test_labels_are_counted_in_whatever_order() -> None:
    assert benchmark.overlap(torch.tensor([1, 1, 4]), torch.tensor([4, 1, 2])) == 2


@pytest.mark.slow
def test_a_lenet_with_relu_and_max_pooling_is_read_far_worse_than_a_smooth_one() -> None:
    train, _ = data.load("mnist5k")
    for spec, readable in ((models.lenet(), False), (benchmark.smooth_lenet(), True)):
        found = [
            benchmark.attacked(benchmark.Setting(benchmark.GRADIENT, model=spec), seed, train)["search"]["psnr"]
            for seed in range(3)
        ]
        assert min(found) > 30 if readable else max(found) < 20


@pytest.mark.slow
def test_the_quick_command_ends_with_one_line_of_json() -> None:
    done = subprocess.run(
        [sys.executable, benchmark.__file__, "--quick"], capture_output=True, text=True, check=True, timeout=560
    )
    assert json.loads(done.stdout.splitlines()[-1])["images 1"]["division"] == 60.0
