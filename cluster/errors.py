"""What can be wrong with the place that a sweep runs in."""


class ClusterError(RuntimeError):
    """The operator must act: the cluster is out of reach, too small, or not set up."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return an exception's message in one line of at most `limit` characters; its class where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
