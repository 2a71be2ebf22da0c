"""The rules that stand attackers, under one name: `robust.Krum(attackers=2)(vectors)`.

| rule | stands f of n | what an attacker can still do |
|---|---|---|
| `CoordinateMedian`, `TrimmedMean` | 2 f < n | anything within the honest values of each coordinate |
| `GeometricMedian` | 2 f < n | pull with the force of one |
| `Krum`, `MultiKrum` | 2 f + 2 < n | stay near the honest vectors and be wrong in a few coordinates |
| `Bulyan` | 4 f + 3 <= n | less of that |
| `NormBounding`, `CentredClipping` | 2 f < n asked for | move the result by a bounded length |
| `FLTrust` | f < n, and the server's data | agree with the server's update, more or less |
"""

from course_lib.aggregation.bulyan import Bulyan
from course_lib.aggregation.clipping import CentredClipping, NormBounding
from course_lib.aggregation.coordinates import CoordinateMedian, TrimmedMean
from course_lib.aggregation.geometric import GeometricMedian
from course_lib.aggregation.krum import Krum, MultiKrum
from course_lib.aggregation.mixing import Bucketing, Mixed, NearestNeighbourMixing
from course_lib.aggregation.momentum import client_momentum
from course_lib.aggregation.rule import Rule
from course_lib.aggregation.trust import FLTrust

__all__ = [
    "Bucketing", "Bulyan", "CentredClipping", "CoordinateMedian", "FLTrust", "GeometricMedian", "Krum", "Mixed", "MultiKrum",
    "NearestNeighbourMixing", "NormBounding", "Rule", "TrimmedMean", "client_momentum",
]  # fmt: skip
