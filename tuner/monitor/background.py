"""A process beside the trials: it takes what they leave of the processor, and Ctrl-C is not for it.

Owns how it is started. Must not know what it does.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Beside two trials on two cores it then has a quarter of one; at 10 it has a seventh, and what it computes comes late.
NICENESS = 5


def begin(module: str, *arguments: str, **streams: Any) -> subprocess.Popen:
    """Start `python -m module`, which can import what this process can.

    Args:
        module: a module that can be run.
        arguments: of its command line.
        streams: `stdin`, `cwd`, `text` and so on, as `subprocess.Popen` takes them.

    Raises:
        OSError: no process can be had.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, start_new_session=True, **streams)
    # From here, for its first seconds are its imports. It may have ended by now.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        # Linux shares the processor out among sessions first, and this process has one of its own: there its niceness among its like says nothing.
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICENESS))
    return process
