"""The study of lesson 16 is what its command makes."""

import json
from collections.abc import Callable
from math import isnan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import topologies as benchmark
from bench import Job, images

from course_lib import models, rounds


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(benchmark.STORED.read_text(encoding="utf-8"))
    return found


def test_the_stored_study_holds_every_contender_that_the_command_measures(study: dict[str, Any]) -> None:
    assert study["command"] == f"python benchmarks/{Path(benchmark.__file__).name}"
    everyone = [(part, name) for part, names in benchmark.PARTS.items() for name in names]
    assert [(row["part"], row["name"]) for row in study["rows"]] == everyone
    for row in study["rows"]:
        assert row["seeds"] == list(benchmark.SEEDS)
        assert len(row["runs"]) == len(row["seeds"]) >= 10
    assert sum(weight.numel() for weight in benchmark.MODEL.build((1, 28, 28), 10).parameters()) == study["weights"]
    assert isinstance(benchmark.MODEL, models.ModelSpec)


def test_rates_are_the_best_for_the_worst_of_three_seeds_that_the_result_does_not_use(study: dict[str, Any]) -> None:
    assert study["tuning_seeds"] == list(benchmark.TUNING_SEEDS) and len(benchmark.TUNING_SEEDS) >= 3
    assert not set(benchmark.TUNING_SEEDS) & set(benchmark.SEEDS)
    for entry in study["tuning"]:
        assert entry["best"] == max(entry["tried"], key=lambda tried: min(tried["accuracy"]))["rate"]
        assert not entry["at_edge"]
    chosen = {(entry["part"], entry["name"]): entry["best"] for entry in study["tuning"]}
    assert {(row["part"], row["name"]): row["rate"] for row in study["rows"]} == chosen


def test_bytes_are_those_of_the_messages_that_a_topology_needs(study: dict[str, Any]) -> None:
    runs = {(row["part"], row["name"]): row["runs"][0] for row in study["rows"]}
    model = 4 * study["weights"] * study["passes"] / 1e6  # one message a pass
    clients = study["clients"]
    for name, neighbours in {"ring": 2, "torus": 4, "random": 4, "complete": clients - 1}.items():
        assert runs["skewed", name]["total"] == pytest.approx(clients * neighbours * model, abs=0.01)
        assert runs["skewed", name]["busiest"] == pytest.approx(2 * neighbours * model, abs=0.01)
    assert (
        runs["IID", "server"]["busiest"]
        == runs["IID", "server"]["total"]
        == pytest.approx(2 * clients * model, abs=0.01)
    )
    for name, count in {**benchmark.SILOS, benchmark.EDGES: 4}.items():
        assert runs["skewed", name]["across"] == pytest.approx(0 if count == 1 else 2 * count * model, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring", "4 edges"])
def test_a_stored_run_is_what_the_command_measures(study: dict[str, Any], name: str) -> None:
    (row,) = [row for row in study["rows"] if (row["part"], row["name"]) == ("skewed", name)]
    again = benchmark.measure(Job("skewed", name, row["rate"], seed=0))
    assert again["nodes"] == pytest.approx(row["runs"][0]["nodes"], abs=1)  # the processor decides a few images
    assert again["total"] == row["runs"][0]["total"]


def test_lopsided_silos_hold_few_digits_and_their_clients_as_many_images_as_ever() -> None:
    train, _ = images("mnist5k", tuning=False)
    for seed in range(3):
        own = benchmark.dealt("lopsided silos", train, seed)
        assert sorted(at for part in own for at in part.tolist()) == list(range(len(train)))
        assert {len(part) for part in own} == {250}

        def digits_of_silos(parts: list[np.ndarray]) -> list[int]:
            return [len(train.y[np.concatenate(parts[at : at + 4])].unique()) for at in (0, 4, 8, 12)]

        assert max(digits_of_silos(own)) <= 4
        assert min(digits_of_silos(benchmark.dealt("skewed", train, seed))) >= 5
    assert not np.array_equal(own[0], benchmark.dealt("lopsided silos", train, 0)[0])


def test_a_run_that_breaks_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: Any, **__: Any) -> Any:
        raise rounds.DivergedError

    monkeypatch.setattr(rounds, "fit", diverged)
    assert isnan(benchmark.measure(Job("IID", "server", 0.1, seed=0))["nodes"])


@pytest.mark.slow
def test_a_quick_run_measures_a_few_contenders(quick_line: Callable[[ModuleType], dict[str, Any]]) -> None:
    accuracy = quick_line(benchmark)["accuracy (%)"]
    assert accuracy["IID"]["push-sum"][0] > accuracy["skewed"]["server"][0] > accuracy["skewed"]["ring"][0] > 10
    assert accuracy["lopsided silos"]["4 silos"][0] > 10 and accuracy["IID"]["alone"][0] > 10
