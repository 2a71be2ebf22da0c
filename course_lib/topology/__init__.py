"""Who talks to whom, when it is not everybody with one server: gossip on a graph, and silos under a cloud."""

from course_lib.topology import gossip, graphs, hierarchical, mixing
from course_lib.topology.graphs import Graph

__all__ = ["Graph", "gossip", "graphs", "hierarchical", "mixing"]
