"""A study's table and comparisons say what the runs said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib import learning, study
from course_lib.federated import fairness
from tests.study.runs import PLANS, direct, fit, quiet

SEEDS = range(3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "grid"


@pytest.fixture(scope="module")
def found(folder: Path) -> study.Study:
    return study.run(folder, PLANS, SEEDS, fit, workers=1, progress=quiet)


def test_the_table_holds_the_mean_and_the_interval_over_seeds(found: study.Study) -> None:
    table = found.table()
    assert list(table.index) == list(PLANS)
    for plan, accuracies in direct(SEEDS).items():
        expected = learning.interval(accuracies)
        assert tuple(table.loc[plan]) == (3, expected.mean, expected.low, expected.high)
        assert found.interval(plan) == expected


def test_plans_are_compared_seed_by_seed(found: study.Study) -> None:
    accuracies = direct(SEEDS)
    expected = learning.interval(accuracies["FedAvg"] - accuracies["FedSGD"])
    compared = found.compare("FedAvg", "FedSGD")
    assert (compared.mean, compared.low) == pytest.approx((expected.mean, expected.low))


def test_a_row_holds_what_the_run_measured(found: study.Study) -> None:
    run = fit(PLANS["FedAvg"], 1)
    row = found.rows.query("plan == 'FedAvg' and seed == 1").iloc[0]
    assert row["accuracy"] == run.accuracy and row["bytes"] == run.bytes_sent and row["rounds"] == 2
    assert row["worst_decile"] == fairness.spread(run.client_accuracy)["worst_decile"]
    assert row["best_accuracy"] == run.history["accuracy"].max() and row["seconds"] > 0
    curve = found.curves.query("plan == 'FedAvg' and seed == 1")
    assert list(curve["accuracy"]) == list(run.history["accuracy"]) and list(curve["round"]) == [1, 2]
    clients = found.clients.query("plan == 'FedAvg' and seed == 1")
    assert list(clients["accuracy"]) == list(run.client_accuracy) and list(clients["client"]) == [0, 1, 2, 3]


def test_every_stored_result_carries_its_plan_seed_versions_and_command(found: study.Study) -> None:
    for (plan, seed), stored in found.records.items():
        assert stored["plan"]["rounds"] == 2 and stored["plan"]["name"] == plan and stored["seed"] == seed
        assert set(stored["versions"]) == {"python", "torch", "numpy", "course_lib"} and all(
            stored["versions"].values()
        )
        assert stored["command"].startswith("python ") and "pytest" in stored["command"]


def test_a_study_comes_back_from_its_folder_and_from_one_file(found: study.Study, folder: Path, tmp_path: Path) -> None:
    found.save(tmp_path / "study.json")
    for loaded in (study.load(folder), study.load(str(tmp_path / "study.json"))):
        assert loaded.table().equals(found.table()) and loaded.rows.equals(found.rows)
        assert loaded.curves.equals(found.curves) and loaded.missing == ()
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_a_single_seed_has_a_mean_and_no_interval(found: study.Study) -> None:
    alone = study.Study({at: stored for at, stored in found.records.items() if at[1] == 0})
    table = alone.table()
    assert list(table["mean"]) == [values[0] for values in direct(range(1)).values()]
    assert np.isnan(table[["low", "high"]].to_numpy()).all()


def test_an_unfinished_study_says_so_and_compares_only_like_with_like(found: study.Study) -> None:
    kept = {at: stored for at, stored in found.records.items() if at != ("FedSGD", 2)}
    unfinished = study.Study(kept, (("FedSGD", 2),))
    assert "5 of 6 runs" in repr(unfinished) and list(unfinished.table()["seeds"]) == [3, 2]
    with pytest.raises(ValueError, match="same seeds"):
        unfinished.compare("FedAvg", "FedSGD")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda found: found.table("acuracy"), "'acuracy' is unknown: use one of accuracy, best_accuracy"),
        (lambda found: found.interval("FedProx"), "no plan 'FedProx': it has 'FedAvg', 'FedSGD'"),
        (lambda found: found.compare("FedAvg", "Fed"), "no plan 'Fed'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(found: study.Study, asked: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asked(found)


def test_where_there_is_no_study_loading_says_so(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match="no study in"):
            study.load(place)
