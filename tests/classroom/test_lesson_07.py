import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib.classroom import exercise, plots
from tests.classroom.explored import explored

STUDIES = Path(__file__).resolve().parents[2] / "course_lib/classroom/studies"
STUDY = json.loads((STUDIES / "rounds_to_target.json").read_text(encoding="utf-8"))
ROWS = {(row["partition"], row["participation"], row["epochs"]): row for row in STUDY["rows"]}
WAYS = {(row["name"], row["partition"], row["passes"]): row for row in STUDY["passes"]}
PARTITIONS = ("iid", "shards")
COHORTS = {0.0: 1, 0.1: 10, 1.0: 100}


def judge(name: str, answer: Any) -> tuple[str, str]:
    outcome = exercise(name).judge(answer)
    return outcome.status, outcome.message


def untouched(weights, clients, participation, rounds): ...


def cohort(clients: int, share: float) -> int:
    return max(1, round(share * clients))


@pytest.mark.parametrize("name", ["07.q1", "07.q2"])
def test_an_untouched_answer_is_not_called_wrong(name: str) -> None:
    assert judge(name, ...)[0] == "untouched"
    assert judge(name, untouched)[0] == "untouched"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, k, c, r: 4 * w * cohort(k, c) * r / 1e6, "one direction"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) * r, "in bytes"),
        (lambda w, k, c, r: 64 * w * cohort(k, c) * r / 1e6, "megabits"),
        (lambda w, k, c, r: 2 * w * cohort(k, c) * r / 1e6, "weight takes 4 bytes"),
        (lambda w, k, c, r: 8 * w * k * r / 1e6, "all clients"),
        (lambda w, k, c, r: 8 * w * r / 1e6, "one client"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) / 1e6, "one round"),
        (lambda w, k, c, r: 8 * w * cohort(k, c) * r / 2**20, r"2\*\*20"),
        (lambda w, k, c, r: 8 * w * round(k * c) * r / 1e6, "C = 0, one client"),
        (lambda w, k, c, r: 8 * w * max(1, round(100 * c)) * r / 1e6, "all four arguments"),
        (lambda w, k, c, r: 8 * w * max(1, int(k * c)) * r / 1e6, "`round`, not `int`"),
        (lambda w, k, c, r: 1.0, "1.0 MB"),
    ],
)
def test_each_wrong_count_of_bytes_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("07.q1", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_right_count_of_bytes_is_set_beside_the_data() -> None:
    status, message = judge("07.q1", lambda w, k, c, r: 8 * w * cohort(k, c) * r / 1e6)
    assert status == "right" and "1,387 MB" in message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda table, k: min(table, key=table.get), "C = 1 needs the fewest rounds"),
        (lambda table, k: min(table, key=lambda c: table[c] * c * k), "no client"),
        (lambda table, k: 0.0, "850"),
        (
            lambda table, k: min(table, key=lambda c: table[c] * max(10, c * k)),
            "one client update, not none and not ten",
        ),
        (lambda table, k: 0.2, "Multiply each"),
        (lambda table, k: min(table[c] * cohort(k, c) for c in table), "Return a C"),
        (lambda table, k: min(table, key=lambda c: table[c] * cohort(100, c)), "Did you use `clients`"),
        (
            lambda table, k: min(table, key=lambda c: table[c] * cohort(k, c)) if 1 in table and 0.2 in table else 0.1,
            "850",
        ),
    ],
)
def test_each_wrong_choice_of_participation_is_told_what_is_wrong_with_it(answer: Any, said: str) -> None:
    status, message = judge("07.q2", answer)
    assert status == "wrong"
    assert re.search(said, message), message


def test_the_fewest_client_updates_in_the_paper_are_with_one_client_a_round() -> None:
    status, message = judge("07.q2", lambda table, k: min(table, key=lambda c: table[c] * cohort(k, c)))
    assert status == "right" and "316 updates" in message


def mean_rounds(partition: str, share: float = 0.1, epochs: int | None = 1) -> float:
    counts = ROWS[partition, share, epochs]["rounds"]["0.88"]
    assert None not in counts  # the lesson's tables show a plain mean
    return float(np.mean(counts))


def reached(name: str, partition: str, passes: int = 5) -> float:
    return float(np.mean([values[-1] for values in WAYS[name, partition, passes]["accuracy"]]))


@pytest.mark.parametrize("partition", PARTITIONS)
def test_ten_clients_need_far_fewer_rounds_than_one_a_hundred_somewhat_fewer_and_one_the_fewest_updates(
    partition: str,
) -> None:
    one, ten, hundred = (mean_rounds(partition, share) for share in COHORTS)
    assert one > 2 * ten
    assert hundred < ten < 2 * hundred
    assert one < 10 * ten < 100 * hundred


def test_skew_costs_rounds_in_every_row_by_a_smaller_factor_than_in_the_paper() -> None:
    paper = {0.0: 3275 / 316, 0.1: 664 / 87, 1.0: 380 / 70}
    for share in COHORTS:
        assert 1 < mean_rounds("shards", share) / mean_rounds("iid", share) < paper[share]


def test_at_the_papers_own_size_every_seed_arrives_in_fewer_rounds_than_published_and_skew_costs_less() -> None:
    full = json.loads((STUDIES / "rounds_to_target_full.json").read_text(encoding="utf-8"))
    rounds = {(row["partition"], row["participation"]): row["rounds"] for row in full["rows"]}
    for row in full["rows"]:
        assert len(row["rounds"]) == 3 and max(row["rounds"]) < row["published"]
    for share, paper in ((0.1, 664 / 87), (0.2, 619 / 77)):
        assert min(rounds["shards", share]) / max(rounds["iid", share]) > 1
        assert max(rounds["shards", share]) / min(rounds["iid", share]) < paper


@pytest.mark.parametrize("partition", PARTITIONS)
def test_more_local_steps_save_rounds_and_five_passes_see_more_images_than_one(partition: str) -> None:
    sgd, one, five = (mean_rounds(partition, epochs=epochs) for epochs in (None, 1, 5))
    assert sgd > one > five
    assert 5 * five > one


def test_skew_does_most_of_its_harm_between_two_averages() -> None:
    every_step, one, five = (reached(way, "iid") - reached(way, "shards") for way in ("every step", "E = 1", "E = 5"))
    assert 0 < 2 * every_step < one < five


def test_after_forty_passes_both_partitions_are_within_a_point_of_one_machine_and_after_five_they_are_not() -> None:
    for partition in PARTITIONS:
        assert reached("one machine", "iid", 40) - reached("E = 1", partition, 40) < 0.01
        assert reached("one machine", "iid") - reached("E = 1", partition) > 0.01


def test_every_rate_is_the_best_for_the_worst_of_three_seeds_and_none_is_at_an_end_of_its_grid() -> None:
    for row in [*STUDY["rows"], *STUDY["passes"]]:
        worst = {float(rate): float(said) for rate, said in row["worst_of_three"].items() if said != "broken"}
        assert row["learning_rate"] == max(worst, key=worst.__getitem__)
        assert not row["at_edge"]
        rates = [float(rate) for rate in row["worst_of_three"]]
        assert min(rates) < row["learning_rate"] < max(rates)


def test_the_axis_of_the_target_stays_put_in_every_currency_and_the_control_has_its_unit() -> None:
    kinds = {"IID": "iid", "two shards": "shards"}

    def counted(clients: str, share: float, epochs: int, goal: str, each: float) -> list[float]:
        return [each * count for count in ROWS[kinds[clients], share, epochs]["rounds"][goal]]

    (target,) = explored("07", plots=plots, kinds=kinds, cohorts=COHORTS, counted=counted)
    assert target.units == {"target": "%"}
    assert target.unsteady() == []
    for currency in target.controls["counted_in"]:
        drawn = target.fn(88, "two shards", currency).figure.axes[0]
        low, high = drawn.get_xlim()
        assert all(low < bar.get_width() < high for bar in drawn.patches)
