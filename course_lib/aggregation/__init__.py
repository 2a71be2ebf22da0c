"""Many updates `(n, d)` into one `(d,)`: the mean here, rules that stand attackers in `aggregation.robust`."""

from course_lib.aggregation.mean import RunningMean, weighted_mean

__all__ = ["RunningMean", "weighted_mean"]
