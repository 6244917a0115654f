"""What can be wrong with the place that a sweep runs in."""


class ClusterError(RuntimeError):
    """The operator must act: the cluster is out of reach, too small, or not set up."""
