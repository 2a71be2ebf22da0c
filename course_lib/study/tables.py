"""Stored studies as the plain rows that `study.choosing` reasons from."""

from collections.abc import Iterable, Mapping
from math import nan
from statistics import median
from typing import Any

from course_lib.study.choosing import Family, Row

_FAMILIES: dict[str, Family] = {"DML": "DML", "hybrid": "hybrid", "gossip": "leaderless", "alone": "alone"}
# A secure sum talks four times a round: keys, shares, masked vectors, and the shares that take the masks off.
_TRIPS = {"FL, secure sum": 4}


def from_cases(study: Mapping[str, Any], without: Iterable[str] = ("driving, shallow model",)) -> list[Row]:
    """Return the rows of `classroom.stored("cases")`, but for the cases `without`, which ask something else."""
    about = {case["case"]: case for case in study["cases"]}
    return [_of_case(row, about[row["case"]]) for row in study["rows"] if row["case"] not in set(without)]


def _of_case(row: Mapping[str, Any], case: Mapping[str, Any]) -> Row:
    way, run = row["way"], row["runs"][0]
    family = _FAMILIES.get(way, "FL")
    raw = family in ("DML", "hybrid")
    if raw:  # records go up, and the trained model comes back
        upload, download, trips = run["bytes_owner"], 4 * case["weights"], 1
    else:
        # Of gossip the bytes that an owner sends are counted, of a server's rounds those in both directions.
        share = 1 if family == "leaderless" else 0.5
        upload = download = share * run["bytes_owner"]
        trips = run["rounds"] * _TRIPS.get(way, 1)
    return Row(
        task=case["case"], way=way, family=family, scores=tuple(nan if one["score"] is None else one["score"] for one in row["runs"]),
        owners=case["owners"], records=median(case["sizes"]), skew=case["skew"], weights=case["weights"],
        upload=upload, download=download, rounds=trips, raw=raw,
        sees="all" if family == "DML" else "group" if family == "hybrid" else "none",
        receives="nothing" if family == "alone" else "sums" if way == "FL, secure sum" else "models",
        attacked="attacked" in way, epsilon=run["epsilon"], source="cases",
    )  # fmt: skip


# What the head-to-head study does not say of its images: the weights of the model, the records of an owner, and how far an owner's
# shares of the digits are from everybody's under each law (0 to 1).
_IMAGES = {"weights": 50_890, "records": 160.0}
_SKEWS = {"IID": ("digits, owners alike", 0.09), "Dirichlet 1": ("digits, owners uneven", 0.34), "Dirichlet 0.1": ("digits, owners lopsided", 0.69)}  # fmt: skip
_CENTRAL = {"ddp": "DML", "local_sgd": "DML, local SGD", "diloco": "DML, DiLoCo"}
_NAMES = {
    "fedavg_iid": "FL", "fedavg_1": "FL", "fedavg_01": "FL", "fedadam_01": "FL, FedAdam", "eight_bits": "FL, 8 bits", "secure": "FL, secure sum",
    "example_3": "FL, epsilon 3", "example_1": "FL, epsilon 1", "attacked": "FL, attacked", "defended": "FL, multi-Krum, attacked",
    "hybrid": "hybrid", "gossip": "gossip",
}  # fmt: skip


def from_dial(study: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the images in `classroom.stored("dial")`, as three tasks by how much owners differ.

    Data in one place does not know how it was dealt, so its stops belong to all three. Stops that answer another question than the
    chooser asks (one machine, asynchronous, 200 clients, users' privacy among 20) are left out.
    """
    found = []
    for stored in study["rows"]:
        if stored["data"] != "images":
            continue
        if stored["stop"] in _CENTRAL:
            found += [_of_dial(stored, _CENTRAL[stored["stop"]], skew) for skew in _SKEWS]
        elif stored["stop"] in _NAMES:
            found.append(_of_dial(stored, _NAMES[stored["stop"]], stored["skew"]))
    return found


def _of_dial(stored: Mapping[str, Any], way: str, skew: str) -> Row:
    task, distance = _SKEWS[skew]
    family: Family = "DML" if way.startswith("DML") else _FAMILIES.get(way, "FL")
    run = stored["runs"][0]
    bytes_each_way = run.get("bytes_per_participant", nan) / 2
    return Row(
        task=task, way=way, family=family, scores=tuple(100 * float(one["score"]) for one in stored["runs"]),
        owners=stored["participants"], records=_IMAGES["records"], skew=distance, weights=int(_IMAGES["weights"]),
        upload=bytes_each_way, download=bytes_each_way, rounds=stored["rounds"] * _TRIPS.get(way, 1),
        sees="all" if family == "DML" else "group" if family == "hybrid" else "none",
        receives="sums" if way == "FL, secure sum" else "models", attacked="attacked" in way, epsilon=run.get("epsilon"), source="dial",
    )  # fmt: skip
