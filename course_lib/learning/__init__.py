"""What one client or worker does alone, how a model is judged, and what a difference allows one to say."""

from course_lib.learning import evaluation, ruler, sgd
from course_lib.learning.evaluation import Interval, accuracy, interval, paired_difference, per_client_accuracy, report
from course_lib.learning.finding import CANNOT_TELL, Finding, outcome
from course_lib.learning.ruler import MARGIN, compare, compare_ratio, compare_share, exact, holm, winner

__all__ = [
    "CANNOT_TELL", "MARGIN", "Finding", "Interval", "accuracy", "compare", "compare_ratio", "compare_share", "evaluation",
    "exact", "holm", "interval", "outcome", "paired_difference", "per_client_accuracy", "report", "ruler", "sgd", "winner",
]  # fmt: skip
