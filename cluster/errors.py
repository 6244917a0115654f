"""What can be wrong with the place that a sweep runs in."""

from cluster.wording import one_line

__all__ = ["ClusterError", "one_line"]


class ClusterError(RuntimeError):
    """The operator must act: the cluster is out of reach, too small, or not set up."""
