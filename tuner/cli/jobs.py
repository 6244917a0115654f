"""`tuner submit`, `status`, `logs`, `stop`, `list` and `fetch`: sweeps as jobs of a cluster."""

import json
import os
import shlex
import signal
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner.monitor.printable import one, several

if TYPE_CHECKING:
    from cluster.jobs import Job, JobServer

# So long a driver may take to let its trials save themselves.
STOP_S = 300.0
RESULTS = ("leaderboard.parquet", "report.html", "report.md", "model.keras", "model.json", "MODEL_CARD.md", "split.npz")

ADDRESS = click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    default="http://127.0.0.1:8265",
    show_default=True,
    metavar="URL",
    help="The cluster's job server; also from RAY_API_SERVER_ADDRESS.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, one object a line.")
JOB = click.argument("job")


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec. Repeatable.")
@click.option("--folder", help="The sweep's folder on the cluster, best shared by all nodes. Default: the spec's, if absolute, else ~/sweeps/NAME.")
@click.option("--no-wait", is_flag=True, help="Do not follow the job; print its id.")
@ADDRESS
def submit(spec: Path, overrides: tuple[str, ...], folder: str | None, no_wait: bool, address: str) -> None:
    """Run the sweep that SPEC describes as a job of a running cluster, and follow it.

    Sent along are the spec and, where it names a builder of your own beside it, that module with the modules beside it that it imports; data are not.
    Submit it again after an interruption, and it goes on where it stopped. Ctrl-C only stops following.
    """
    from tuner.cli import shipping
    from tuner.errors import ClusterError
    from tuner.spec import sweep_spec as specs

    checked = specs.load(spec, overrides)
    there = shipping.folder_there(checked, folder)
    with tempfile.TemporaryDirectory(prefix="tuner-") as packed:
        sent = shipping.pack(spec, checked, overrides=overrides, folder=there, into=Path(packed))
        server = _server(address)
        for job in server.jobs():
            if job.facts.get("folder") == there and not job.is_over:
                raise ClusterError(f"{there}: job {job.id} runs this sweep already; `tuner logs --follow {job.id}` follows it")
        identifier = server.submit(checked.name, packed, command=shipping.COMMAND, facts={"sweep": checked.name, "folder": there})
    click.echo(f"submitted {identifier} ({', '.join(sent)}); its folder is {there}", err=True)
    if no_wait:
        click.echo(identifier)
    else:
        _follow(server, identifier)


@click.command()
@JOB
@ADDRESS
@JSON
def status(job: str, address: str, as_json: bool) -> None:
    """Show how JOB stands. Exit code 1 if it failed."""
    state = _server(address).job(job)
    click.echo(json.dumps(_facts(state)) if as_json else _row(state) + (f"\n{several(state.message)}" if state.message else ""))
    if state.status == "FAILED":
        raise SystemExit(1)


@click.command()
@JOB
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is over. Ctrl-C only stops following.")
@ADDRESS
def logs(job: str, follow: bool, address: str) -> None:
    """Print what JOB has written."""
    server = _server(address)
    if follow:
        _follow(server, job)
    else:
        click.echo(_readable(server.logs(job)), nl=False)


@click.command()
@JOB
@ADDRESS
def stop(job: str, address: str) -> None:
    """Ask JOB to stop after the epochs that are being trained. Submit its sweep again to go on.

    JOB may also be the folder of a sweep that runs on this machine: `tuner resume` goes on with it.
    """
    if "/" in job or Path(job).is_dir():
        _stop_here(Path(job))
        return
    server = _server(address)
    if server.job(job).is_over:
        click.echo(f"{job}: was over already", err=True)
        return
    server.stop(job)
    click.echo(f"{job}: stopped", err=True)


@click.command(name="list")
@ADDRESS
@JSON
def list_jobs(address: str, as_json: bool) -> None:
    """List the sweeps of a cluster, the newest first."""
    for job in _server(address).jobs():
        if "sweep" in job.facts:
            click.echo(json.dumps(_facts(job)) if as_json else _row(job))


@click.command()
@JOB
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@ADDRESS
def fetch(job: str, folder: Path, address: str) -> None:
    """Copy leaderboard, report and model of JOB's sweep into FOLDER (256 MiB at most: they travel through the job server)."""
    from tuner.errors import ClusterError

    server = _server(address)
    there = server.job(job).facts.get("folder")
    if there is None:
        raise ClusterError(f"job {job}: was not submitted by `tuner submit`")
    for path in server.fetch(there, RESULTS, folder):
        click.echo(str(path))


def _stop_here(folder: Path) -> None:
    """Ask the driver of a sweep on this machine to stop, and wait until it has."""
    from tuner.errors import SweepError
    from tuner.study.lock import holder_of

    if not folder.is_dir():
        raise SweepError(f"{folder}: no such folder; expected the folder of a sweep that runs here, or the id of a job (`tuner list` shows them)")
    holder = holder_of(folder)
    if not holder:
        click.echo(f"{folder}: nothing runs there", err=True)
        return
    if holder["host"] != socket.gethostname():
        raise SweepError(f"{folder}: its driver is process {holder['pid']} on {holder['host']}; expected this command there")
    try:
        os.kill(int(holder["pid"]), signal.SIGINT)
    except PermissionError:
        raise SweepError(f"{folder}: its driver, process {holder['pid']}, is another user's") from None
    click.echo(f"{folder}: process {holder['pid']} stops after the epochs that are being trained", err=True)
    until = time.monotonic() + STOP_S
    while (now := holder_of(folder)) and now.get("pid") == holder["pid"]:
        if time.monotonic() > until:
            raise SweepError(f"{folder}: process {holder['pid']} still runs after {STOP_S:g} s; Ctrl-C there, or the same command again, ends it at once")
        time.sleep(0.1)
    click.echo(f"{folder}: stopped; `tuner resume {shlex.quote(str(folder))}` goes on", err=True)


COMMANDS = (submit, status, logs, stop, list_jobs, fetch)


def _server(address: str) -> "JobServer":
    from cluster.jobs import JobServer

    server = JobServer(address)
    for warning in server.warnings:
        click.echo(f"tuner: {warning}", err=True)
    return server


def _follow(server: "JobServer", identifier: str) -> None:
    """Print what a job writes until it is over, and end as it ended."""
    try:
        for text in server.follow(identifier):
            click.echo(_readable(text), nl=False)
    except KeyboardInterrupt:
        click.echo(f"\n{identifier} goes on; `tuner logs --follow {identifier}` follows it again, `tuner stop {identifier}` ends it", err=True)
        raise SystemExit(130) from None
    job = server.job(identifier)
    click.echo(f"{identifier}: {job.status.lower()}", err=True)
    if job.status != "SUCCEEDED":
        raise SystemExit(130 if job.status == "STOPPED" else 1)


def _readable(log: str) -> str:
    """Return a log fit for a terminal; as it is where it goes to a file or another program."""
    return several(log) if sys.stdout.isatty() else log


def _facts(job: "Job") -> dict[str, Any]:
    return {
        "job": job.id,
        "status": job.status,
        "message": job.message,
        "began": job.began and job.began.isoformat(timespec="seconds"),
        "ended": job.ended and job.ended.isoformat(timespec="seconds"),
        **job.facts,
    }


def _row(job: "Job") -> str:
    seconds = ((job.ended or datetime.now(UTC)) - job.began).total_seconds() if job.began else 0
    began = f"{job.began:%Y-%m-%d %H:%M:%S}" if job.began else "not yet"
    return one(f"{job.id:<40}{job.status:<12}{began:<21}{seconds:>8.0f} s  {job.facts.get('folder', '')}")
