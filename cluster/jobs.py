"""Jobs on a cluster through its job server: submit, look, follow, stop, and get files back. One port, one token, nothing else has to be open.

Owns the talk with Ray's Jobs API. Knows nothing of what a job does: it is handed a folder to ship and a command to run in it.
"""

import base64
import hashlib
import json
import logging
import os
import re
import shlex
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cluster import courier, tokens
from cluster.errors import ClusterError, one_line

OVER = ("STOPPED", "SUCCEEDED", "FAILED")
# Asked to stop, a job gets SIGINT instead of Ray's SIGTERM, and this long instead of 3 s until it is killed: what it does is then written down.
STOPPING = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "120"}
# What comes back travels through the log of a job.
MOST_FETCHED_BYTES = 256 * 2**20
START_S = 180.0
FOLLOW_EVERY_S = 1.0


@dataclass(frozen=True)
class Job:
    """A job as its server knows it.

    Attributes:
        id: its submission id.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: what Ray says of it, with its lines.
        began, ended: in UTC, or None.
        facts: what its submitter wrote down.
    """

    id: str
    status: str
    message: str
    began: datetime | None
    ended: datetime | None
    facts: dict[str, str]

    @property
    def is_over(self) -> bool:
        return self.status in OVER


class JobServer:
    """A cluster's job server, reached and checked.

    Attributes:
        url: its address.
        warnings: what its operator should know.
    """

    def __init__(self, url: str) -> None:
        """Reach a job server.

        Args:
            url: such as `http://10.0.0.1:8265`.

        Raises:
            ClusterError: nothing answers there, or it does not take our token.
        """
        if not url.startswith(("http://", "https://")):
            raise ClusterError(f"--address: got {url!r}; expected the job server's URL, such as http://10.0.0.1:8265")
        self.url = url.rstrip("/")
        guarded = _check(self.url)
        self.warnings = () if guarded else (tokens.UNGUARDED.format(address=self.url),)
        held = tokens.token() if guarded else None
        with _without("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"), self._explained():  # either would replace the URL
            from ray.job_submission import JobSubmissionClient

            for chatty in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
                logging.getLogger(chatty).setLevel(logging.ERROR)
            self._client = JobSubmissionClient(self.url, headers={"Authorization": f"Bearer {held}"} if held else {})

    def submit(self, name: str, folder: str | Path, *, command: Sequence[str], facts: dict[str, str]) -> str:
        """Start a job and return its id.

        Args:
            name: what its id is to start with.
            folder: what it is to find in its working folder. All of it is sent.
            command: run there.
            facts: to be remembered with it; not secret.
        """
        # An id is part of addresses.
        identifier = f"{re.sub('[^A-Za-z0-9._-]+', '-', name).strip('-') or 'job'}-{datetime.now(UTC):%m%d-%H%M%S}-{os.urandom(2).hex()}"
        # Without `exec` the signal to stop would reach a shell first.
        with self._explained():
            self._client.submit_job(
                submission_id=identifier,
                entrypoint=f"exec {shlex.join(command)}",
                runtime_env={"working_dir": str(folder), "env_vars": STOPPING},
                metadata=dict(facts),
            )
        return identifier

    def job(self, identifier: str) -> Job:
        """Return one job. Raises ClusterError where there is none of this id."""
        for job in (jobs := self.jobs()):
            if job.id == identifier:
                return job
        near = get_close_matches(identifier, [job.id for job in jobs], n=1, cutoff=0.5)
        raise ClusterError(f"job {identifier}: unknown at {self.url}" + (f"; did you mean {near[0]}?" if near else "; `tuner list` shows what there is"))

    def jobs(self) -> list[Job]:
        """Return all jobs that were submitted through the server, the newest first."""
        with self._explained():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.began or datetime.max.replace(tzinfo=UTC), reverse=True)

    def logs(self, identifier: str) -> str:
        """Return what a job has written so far."""
        self.job(identifier)
        with self._explained():
            return self._client.get_job_logs(identifier)

    def follow(self, identifier: str) -> Iterator[str]:
        """Yield what a job has written and writes, until it is over. Whoever stops listening does not stop the job."""
        seen = 0
        while True:
            over = self.job(identifier).is_over  # asked first: what it writes at last is then in the log
            text = self.logs(identifier)
            if text[seen:]:
                yield text[seen:]
                seen = len(text)
            if over:
                return
            # The server sends all of a log each time: a long one is asked for less often.
            time.sleep(min(10.0, FOLLOW_EVERY_S * (1 + seen / 2**18)))

    def stop(self, identifier: str) -> None:
        """Ask a job to stop, so that it can be continued, and wait until it has."""
        if self.job(identifier).is_over:
            return
        with self._explained():
            self._client.stop_job(identifier)
        self.wait(identifier, float(STOPPING["RAY_JOB_STOP_WAIT_TIME_S"]) + 30)

    def wait(self, identifier: str, timeout_s: float = 30.0) -> Job:
        """Wait until a job is over and return it.

        Args:
            identifier: of the job.
            timeout_s: how long to wait at most, in seconds.

        Raises:
            ClusterError: it runs on after that time.
        """
        until = time.monotonic() + timeout_s
        while not (job := self.job(identifier)).is_over:
            if time.monotonic() > until:
                raise ClusterError(f"job {identifier}: still {job.status} after {timeout_s:g} s")
            time.sleep(0.3)
        return job

    def fetch(self, folder: str, names: Sequence[str], target: str | Path) -> list[Path]:
        """Copy files from a folder of the head to one of this machine.

        A small job on the head prints them, and its log brings them here: what reaches the job server reaches them too, and nothing else need be open.

        Args:
            folder: where they are on the head.
            names: file names; those that are not there are left out.
            target: made if it is not there.

        Returns:
            The files that were written, each whole.

        Raises:
            ClusterError: there is none of them, they are too large to travel so, or did not arrive whole.
        """
        target = Path(target)
        with tempfile.TemporaryDirectory(prefix="tuner-") as shipped:
            (Path(shipped) / "courier.py").write_bytes(Path(courier.__file__).read_bytes())
            (Path(shipped) / "wanted.json").write_text(json.dumps({"folder": folder, "names": list(names), "most": MOST_FETCHED_BYTES}))
            identifier = self.submit("tuner-fetch", shipped, command=["python", "courier.py", "wanted.json"], facts={})
        job = self.wait(identifier, START_S)
        log = self.logs(identifier)
        with suppress(ClusterError), self._explained():
            self._client.delete_job(identifier)
        said = [line.removeprefix(courier.REFUSED) for line in log.splitlines() if line.startswith(courier.REFUSED)]
        if said:
            raise ClusterError(f"{said[0]} (on the head of {self.url})")
        if job.status != "SUCCEEDED":
            raise ClusterError(f"the files could not be read on the head: {one_line(job.message)}")
        files = _unpack(log, set(names))
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            aside = target / f".{os.getpid()}-{name}"
            aside.write_bytes(content)
            os.replace(aside, target / name)
        return [target / name for name in files]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Ray's client raises into one line."""
        try:
            yield
        except ClusterError:
            raise
        except (RuntimeError, ConnectionError, OSError, ValueError) as error:
            hint = "; does its node's agent run (dashboard_agent.log)?" if "No available agent" in str(error) else ""
            raise ClusterError(f"{self.url}: {one_line(error)}{hint}") from error


def _check(url: str) -> bool:
    """Say whether the server asks for a token."""
    status = _status(url, None)
    if status == 200:
        return False
    if status in (401, 403):
        held = tokens.token()
        if held is None:
            raise ClusterError(f"{url} asks for a token, and there is none here; {tokens.HOW}")
        status = _status(url, held)
        if status == 200:
            return True
        if status in (401, 403):
            raise ClusterError(f"{url} does not accept the token that is here; {tokens.HOW}")
    raise ClusterError(f"{url} answers with HTTP status {status}; expected Ray's job server (the dashboard's port, 8265 unless it was changed)")


def _status(url: str, held: str | None) -> int:
    request = urllib.request.Request(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {held}"} if held else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, ValueError) as error:
        why = one_line(ValueError(getattr(error, "reason", error)))
        raise ClusterError(f"{url} cannot be reached ({why}); is the head up, and its dashboard's port open?") from error


def _job(details: Any) -> Job:
    def moment(milliseconds: int | None) -> datetime | None:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None

    message = (details.message or "").strip()
    status = getattr(details.status, "value", str(details.status))
    return Job(details.submission_id, status, message, moment(details.start_time), moment(details.end_time), dict(details.metadata or {}))


def _unpack(log: str, expected: set[str]) -> dict[str, bytes]:
    """Return the files in a courier's log. Raises ClusterError where one is not whole, or was not asked for."""
    files: dict[str, bytes] = {}
    lines = iter(log.splitlines())
    for line in lines:
        if not line.startswith(courier.FILE):
            continue
        head = json.loads(line.removeprefix(courier.FILE))
        content = b"".join(base64.b64decode(next(lines, "")) for _ in range(head["lines"]))
        if head["name"] not in expected:
            raise ClusterError(f"the head sent {head['name']!r}, which was not asked for")
        if hashlib.sha256(content).hexdigest() != head["sha256"]:
            raise ClusterError(f"{head['name']}: did not arrive whole; try again")
        files[head["name"]] = content
    return files


@contextmanager
def _without(*names: str) -> Iterator[None]:
    saved = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(saved)
