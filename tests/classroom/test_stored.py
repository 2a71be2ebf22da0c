"""Stored studies say which command measures them again."""

from pathlib import Path

import pytest

from course_lib import classroom

ROOT = Path(__file__).resolve().parent.parent.parent
STUDIES = sorted(path.stem for path in (ROOT / "course_lib/classroom/studies").glob("*.json"))


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "ledger"])
def test_the_command_of_a_stored_study_is_there(name: str) -> None:
    command = classroom.stored(name)["command"].split()
    assert command[0] == "python"
    assert (ROOT / command[1]).exists()


def test_an_unknown_study_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no stored study 'skwe'; there are: .*skew"):
        classroom.stored("skwe")
