"""Federated learning beyond averaging: strategies, unreliable clients, models of one's own, fairness."""
