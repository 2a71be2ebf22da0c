"""Attacks on learning: what clients can break (`poisoning`), and what an observer can read (`leakage`)."""
