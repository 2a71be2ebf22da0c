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
