"""Real processes on one machine, joined by gloo: start them, watch what they send, and survive when they fail."""

from course_lib.cluster import collectives, traffic
from course_lib.cluster.failures import WorkerError
from course_lib.cluster.launch import launch, shutdown
from course_lib.cluster.network import join
from course_lib.cluster.worker import report

__all__ = ["WorkerError", "collectives", "join", "launch", "report", "shutdown", "traffic"]
