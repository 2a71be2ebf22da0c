"""Stored studies as rows of the chooser: what each way lets others see, and what goes over a link."""

from typing import Any

import pytest

from course_lib.study import tables

CASES: dict[str, Any] = {
    "cases": [{"case": "fraud", "owners": 4, "sizes": [10, 20, 40, 400], "skew": 0.1, "weights": 100}],
    "rows": [
        {"case": "fraud", "way": way, "runs": [
            {"score": score, "bytes_owner": 800, "rounds": 5, "epsilon": 2.9 if "epsilon" in way else None} for score in scores]}
        for way, scores in {
            "DML": (90.0, 91.0), "hybrid": (89.0, 90.0), "gossip": (85.0, 86.0), "alone": (80.0, 81.0), "FL": (88.0, None),
            "FL, secure sum": (88.0, 89.0), "FL, epsilon 3": (70.0, 71.0), "FL, median, attacked": (60.0, 61.0),
        }.items()
    ],
}  # fmt: skip


def test_each_way_of_a_case_says_who_sees_what_and_what_goes_over_a_link() -> None:
    rows = {row.way: row for row in tables.from_cases(CASES)}
    assert {way: (row.family, row.sees, row.receives) for way, row in rows.items()} == {
        "DML": ("DML", "all", "models"), "hybrid": ("hybrid", "group", "models"), "gossip": ("leaderless", "none", "models"),
        "alone": ("alone", "none", "nothing"), "FL": ("FL", "none", "models"), "FL, secure sum": ("FL", "none", "sums"),
        "FL, epsilon 3": ("FL", "none", "models"), "FL, median, attacked": ("FL", "none", "models"),
    }  # fmt: skip
    assert rows["DML"].records == 30 and rows["DML"].owners == 4
    # Records up, the model back; FL's bytes both ways; of gossip only what an owner sends was counted.
    assert [(rows[way].upload, rows[way].download) for way in ("DML", "FL", "gossip")] == [
        (800, 400),
        (400, 400),
        (800, 800),
    ]
    assert rows["FL, secure sum"].rounds == 4 * rows["FL"].rounds == 20 and rows["DML"].rounds == 1
    assert rows["FL, median, attacked"].attacked and not rows["FL"].attacked
    assert rows["FL, epsilon 3"].epsilon == 2.9 and rows["FL"].epsilon is None
    assert rows["FL"].mean != rows["FL"].mean and rows["DML"].mean == 90.5  # a run that broke makes no mean


def test_the_images_of_the_dial_are_three_tasks_and_central_stops_belong_to_each() -> None:
    def stop(key: str, skew: str, data: str = "images") -> dict[str, Any]:
        runs = [{"score": score, "bytes_per_participant": 1000, "epsilon": None} for score in (0.9, 0.91)]
        return {"data": data, "stop": key, "skew": skew, "participants": 20, "rounds": 20, "runs": runs}

    study = {"rows": [
        stop("ddp", "Dirichlet 1"), stop("fedavg_iid", "IID"), stop("fedavg_1", "Dirichlet 1"), stop("fedavg_01", "Dirichlet 0.1"),
        stop("secure", "Dirichlet 1"), stop("one_machine", "Dirichlet 1"), stop("ddp", "Dirichlet 1", "text"),
    ]}  # fmt: skip
    found = tables.from_dial(study)
    assert sorted((row.task.split()[-1], row.way) for row in found) == [
        ("alike", "DML"), ("alike", "FL"), ("lopsided", "DML"), ("lopsided", "FL"), ("uneven", "DML"), ("uneven", "FL"),
        ("uneven", "FL, secure sum"),
    ]  # fmt: skip
    assert {row.family for row in found} == {"DML", "FL"} and found[0].scores == pytest.approx((90.0, 91.0))
    assert all(row.sees == ("all" if row.family == "DML" else "none") for row in found)
