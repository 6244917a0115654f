"""The tree of errors, by who must act.

Every expected error is raised as one of the classes named in `EXPECTED`: the command line prints its message as one line and ends with exit
code 2. Everything else is a defect of ours and keeps its traceback. A message says what arrived, what was expected and how to mend it.

`SearchSpaceError` and `ClusterError` live with the packages that raise them, which know nothing of this one.
"""

import errno

from cluster.errors import ClusterError
from search_spaces.errors import SearchSpaceError

# What storage says when it is full, or refuses for another reason that passes or can be mended.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)


class SpecError(ValueError):
    """The author of sweep.toml must act: a key, a type or a range is wrong."""


class DatasetError(ValueError):
    """The owner of the data must act: it is missing, unreadable or not what the spec says."""


class SweepError(RuntimeError):
    """The user must act: the sweep cannot go on as it stands."""


class NothingToRank(SweepError):
    """The user must act: not one trial of the sweep has a score."""


class TrialDiverged(RuntimeError):
    """Nobody must act: a trial's loss is no longer a number. It is recorded as failed and the sweep goes on."""


EXPECTED = (SpecError, DatasetError, SweepError, SearchSpaceError, ClusterError)
