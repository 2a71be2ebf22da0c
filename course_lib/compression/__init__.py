"""Messages made smaller. One interface, for a client's update and for a worker's gradient.

`Quantise` spends fewer bits on each number, `TopK` and `RandomK` send few of the numbers, `Sign` sends one bit of each and lets the
majority decide, `LowRank` (PowerSGD) sends two thin matrices in place of one. What packing loses is not lost for good: with error
feedback it is kept by the sender and added to its next vector (Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847).
"""

from course_lib.compression.interface import AddsUp, Compression
from course_lib.compression.low_rank import LowRank
from course_lib.compression.quantise import Quantise
from course_lib.compression.sign import Sign
from course_lib.compression.sparsify import RandomK, TopK

__all__ = ["AddsUp", "Compression", "LowRank", "Quantise", "RandomK", "Sign", "TopK"]
