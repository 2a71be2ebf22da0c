"""What one client or worker does alone, and how a model is judged."""

from course_lib.learning import evaluation, sgd
from course_lib.learning.evaluation import Interval, accuracy, interval, paired_difference, per_client_accuracy, report

__all__ = [
    "Interval", "accuracy", "evaluation", "interval", "paired_difference", "per_client_accuracy", "report", "sgd",
]  # fmt: skip
