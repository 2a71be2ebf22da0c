"""The studies of lessons 00 and 01 are what their commands make, and tune without looking at what they report on."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import small_models
import three_ways
import torch

from course_lib import data, learning


def stored(benchmark: ModuleType) -> dict[str, Any]:
    return json.loads(benchmark.STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("benchmark", "names", "label"), [
    (three_ways, list(three_ways.CONTENDERS), "contender"),
    (small_models, list(small_models.MODELS), "model"),
])  # fmt: skip
def test_a_stored_study_holds_every_row_that_its_command_measures(
    benchmark: ModuleType, names: list[str], label: str
) -> None:  # fmt: skip
    study = stored(benchmark)
    assert study["command"] == f"python benchmarks/{Path(str(benchmark.__file__)).name}"
    assert [row[label] for row in study["rows"]] == names
    assert study["grid"] == list(benchmark.GRID) and study["seeds"] == list(benchmark.SEEDS)
    for row in study["rows"]:
        assert len(row["accuracy"]) == len(benchmark.SEEDS)
        assert set(benchmark.GRID) <= {tried["rate"] for tried in row["tried"]}
        assert {len(tried["accuracy"]) for tried in row["tried"]} == {len(benchmark.TUNING_SEEDS)}


def test_a_fifth_of_each_owners_images_is_kept_out_and_no_image_changes_hands() -> None:
    train, _ = data.load("digits")
    owners = data.partitions.dirichlet(train.y, clients=4, alpha=0.5, seed=0)
    rest, owned, validation = three_ways.held_out(train, owners)
    assert [len(own) for own in owned] == [len(owner) - round(0.2 * len(owner)) for owner in owners]
    assert len(rest) + len(validation) == len(train)
    for own, owner in zip(owned, owners, strict=True):
        mine = {tuple(image.flatten().tolist()) for image in train.x[torch.as_tensor(owner)]}
        assert all(tuple(image.flatten().tolist()) in mine for image in rest.x[torch.as_tensor(own)])


def test_the_last_line_says_how_far_each_contender_is_from_one_machine() -> None:
    study = stored(three_ways)
    line = three_ways.line(study)
    rows = {row["contender"]: row["accuracy"] for row in study["rows"]}
    lead = learning.paired_difference(rows["federated"], rows["one machine"])
    assert line["federated"]["ahead of one machine (points)"] == [
        round(100 * lead.mean, 2),
        round(100 * lead.half_width, 2),
    ]
    assert line["one machine"]["ahead of one machine (points)"] == [0.0, 0.0]


@pytest.mark.slow
def test_a_run_of_the_study_can_be_made_again() -> None:
    row = stored(three_ways)["rows"][0]
    train, test = data.load("mnist5k")
    owners = data.partitions.dirichlet(train.y, clients=4, alpha=row["alpha"], seed=0)
    again = three_ways.accuracy(three_ways.WAYS[row["way"]], row["rate"], 0, train, owners, test)
    assert again == pytest.approx(row["accuracy"][0], abs=0.003)  # another processor may turn an image or two
