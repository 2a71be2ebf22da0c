"""What determines a run of a study: runs with the same key are the same run."""

from typing import Any

from course_lib.fingerprints import as_data, fingerprint
from course_lib.plans import Plan

__all__ = ["as_data", "fingerprint", "key"]


def key(plan: Plan, seed: int, setting: Any) -> str:
    """Return the key of a run, 16 hexadecimal digits. Raises TypeError for a plan or a setting that is no data."""
    return fingerprint([plan, seed, setting])
