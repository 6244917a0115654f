"""What can befall a sweep: one function each, which returns whether it found something to hit. Must not know what is checked afterwards."""

import contextlib
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.chaos.round import EPOCHS, Round, processes, raylets, text
from tuner.study.backends import JOURNAL


def kill_driver(round: Round) -> bool:
    round.driver.send_signal(signal.SIGKILL)
    round.excused += 2  # its trials die with it
    return True


def terminate_driver(round: Round) -> bool:
    round.driver.send_signal(signal.SIGTERM)
    return True


def kill_trial(round: Round) -> bool:
    return kill(round, trial_processes(round))


def kill_server(round: Round) -> bool:
    """The node's process from which trials are forked."""
    servers = {int(text(pid, "stat").rpartition(")")[2].split()[1]) for pid in trial_processes(round)}
    found = kill(round, [pid for pid in servers if pid > 1])
    round.excused += found  # all trials of the node die with it
    return found


def kill_worker(round: Round) -> bool:
    return kill(round, workers(round, "ray::Trial"))


def kill_node(round: Round) -> bool:
    """The node joins again, as a preempted machine does."""
    if round.shared is None or round.shared.node.poll() is not None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(round.shared.node.pid, signal.SIGKILL)
    round.shared.start_node()
    round.excused += 1
    return True


def kill_ray(round: Round) -> bool:
    """Tuner's own Ray loses one of its daemons."""
    found = raylets(round)
    found += [pid for pid in processes() if "gcs_server" in (words := text(pid, "cmdline")) and f"{round.home}/tuner-ray-" in words]
    round.excused += 1
    return kill(round, found)


def tear_journal(round: Round) -> bool:
    journal = round.sweep / JOURNAL
    if not journal.exists():
        return False
    kill_driver(round)
    round.driver.wait()
    with journal.open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"torn'[: round.draw.randrange(1, 30)])
    return True


def refuse_records(round: Round) -> bool:
    """The driver's files may not grow for some seconds."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        before = resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, (record_of(round).stat().st_size, before[1]))
        time.sleep(round.draw.uniform(1.0, 4.0))
        resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, before)
        return True
    return False


def refuse_checkpoints(round: Round) -> bool:
    """Where checkpoints lie, there is no folder for some seconds."""
    place = round.sweep / "checkpoints"
    aside = round.folder / "checkpoints.aside"
    if not place.is_dir():
        return False
    place.rename(aside)
    place.write_text("")
    time.sleep(round.draw.uniform(1.0, 4.0))
    place.unlink()
    aside.rename(place)
    round.excused += EPOCHS  # what could not be saved may have to be trained again
    return True


EVENTS: dict[str, Callable[[Round], bool]] = {
    "driver killed": kill_driver,
    "driver terminated": terminate_driver,
    "trial's process killed": kill_trial,
    "fork server killed": kill_server,
    "Ray worker killed": kill_worker,
    "node killed": kill_node,
    "journal's tail torn": tear_journal,
    "journal refused": refuse_records,
    "checkpoints refused": refuse_checkpoints,
}
# Where the sweep runs in Tuner's own Ray, which has one node.
OWN_EVENTS = {**{name: event for name, event in EVENTS.items() if name != "node killed"}, "own Ray killed": kill_ray}


def record_of(round: Round) -> Path:
    return round.sweep / JOURNAL


def kill(round: Round, pids: list[int]) -> bool:
    """One of these processes."""
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(round.draw.choice(sorted(pids)), signal.SIGKILL)
    round.excused += 1
    return True


def trial_processes(round: Round) -> list[int]:
    """Return the processes that have this sweep's data mapped."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        scratch = json.loads((round.sweep / "driver.lock").read_text())["scratch"]
        return [pid for pid in processes() if f"{scratch}/pool/0.npy" in text(pid, "maps")]
    return []


def workers(round: Round, title: str) -> list[int]:
    """Return the Ray workers that hold a trial, by how Ray calls them."""
    parents = set(raylets(round))
    above = {pid: int(text(pid, "stat").rpartition(")")[2].split()[1]) for pid in processes() if text(pid, "cmdline").startswith(title)}
    return [pid for pid, parent in above.items() if parent in parents]
