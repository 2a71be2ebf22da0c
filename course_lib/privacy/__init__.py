"""What leaks from federated learning, and what it costs to stop it."""
