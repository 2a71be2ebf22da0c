import pytest

from course_lib import data
from course_lib.data import Dataset


@pytest.fixture(scope="session")
def digits() -> tuple[Dataset, Dataset]:
    return data.load("digits")
