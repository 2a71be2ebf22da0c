"""Federated learning beyond averaging: strategies, unreliable clients, models of one's own, fairness."""

from course_lib.federated import fairness, participation, personalisation, strategies

__all__ = ["fairness", "participation", "personalisation", "strategies"]
