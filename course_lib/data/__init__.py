"""Data sets, embedded and downloaded, and the ways in which clients come to differ."""

from course_lib.data import partitions
from course_lib.data.dataset import Dataset, from_arrays, hold_out
from course_lib.data.natural import NaturalClients, load_by_client
from course_lib.data.sources import load, names

__all__ = ["Dataset", "NaturalClients", "from_arrays", "hold_out", "load", "load_by_client", "names", "partitions"]
