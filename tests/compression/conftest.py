"""What tests of packing share."""

from collections.abc import Iterator

import pytest
import torch

from course_lib import data
from course_lib.data import Dataset


@pytest.fixture(scope="session")
def digits() -> tuple[Dataset, Dataset]:
    return data.load("digits")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Vectors of a few numbers lose more by changing threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
