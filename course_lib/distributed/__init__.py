"""Distributed machine learning in depth: staying in step or not, models too big for one worker, machines that fail, and the bill."""
