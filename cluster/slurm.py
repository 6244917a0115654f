"""Batch scripts for Slurm: a Ray cluster on the job's own nodes, a command that drives it, and a job that is put back in the queue where it was cut off.

Owns what such a script must hold: ports, folders and a token of the job's own, so that several jobs share a node; the signal that comes before the end; and
which ends are followed by another start. Ray is brought up by `srun` on every node at once. `ray symmetric-run` (Ray 2.60) does as much, but gives up where
not all nodes are up within 30 s, and has no place for a token of the job's own. Knows nothing of what runs.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.errors import ClusterError

# Exit codes of the command after which the job is put back in the queue: it was asked to stop, or its cluster has gone. See tuner/cli/main.py.
CUT_OFF = (130, 143, 4)
MOST_RESTARTS = 50


@dataclass(frozen=True)
class Batch:
    """A job of Slurm.

    Attributes:
        name: of the job.
        commands: one, or one per task of an array; run on the first node with `TUNER_ADDRESS` set to the cluster's address.
        nodes: how many.
        cpus, gpus, memory_gib: of each node.
        hours: after which Slurm ends it.
        warn_s: so many seconds before that, the command is asked to stop.
        lines: further lines of `#SBATCH`, such as `--partition=gpu`.
        setup: a shell command that comes before all others on every node, such as `. /shared/venv/bin/activate`; empty: none.
        container: an image that `apptainer exec` runs Ray and the command in; None: none.
        environment: variables that all of it has.

    Raises:
        ClusterError: a number is not possible, or a line is none of Slurm's.
    """

    name: str
    commands: tuple[str, ...]
    nodes: int = 1
    cpus: int = 4
    gpus: int = 0
    memory_gib: int = 16
    hours: float = 24.0
    warn_s: int = 300
    lines: tuple[str, ...] = ()
    setup: str = ""
    container: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.nodes, self.cpus, self.memory_gib) < 1 or self.gpus < 0 or not self.commands:
            raise ClusterError(f"got {self.nodes} nodes with {self.cpus} CPUs, {self.gpus} GPUs, {self.memory_gib} GiB; expected at least 1, 1, 0 and 1")
        if self.hours * 3600 <= self.warn_s:
            raise ClusterError(f"--hours: got {self.hours:g}; expected more than the {self.warn_s} s in which a sweep stops")
        for line in self.lines:
            if not re.fullmatch(r"--?[a-zA-Z][\w-]*([= ][^\n]*)?", line):
                raise ClusterError(f"--sbatch: got {line!r}; expected an option of sbatch, such as --partition=gpu")


def script(batch: Batch) -> str:
    """Return the script; `sbatch FILE` runs it."""
    minutes = max(1, int(batch.hours * 60))
    options = [
        f"--job-name={batch.name}",
        f"--nodes={batch.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={batch.cpus}",
        f"--mem={batch.memory_gib}G",
        *([f"--gres=gpu:{batch.gpus}"] if batch.gpus else []),
        f"--time={minutes // 60:02d}:{minutes % 60:02d}:00",
        f"--signal=B:USR1@{batch.warn_s}",
        "--requeue",
        "--open-mode=append",
        f"--output={batch.name}-%{'A_%a' if len(batch.commands) > 1 else 'j'}.log",
        *([f"--array=0-{len(batch.commands) - 1}"] if len(batch.commands) > 1 else []),
        *batch.lines,
    ]
    inside = f"apptainer exec {'--nv ' if batch.gpus else ''}--bind /tmp,/dev/shm {shlex.quote(batch.container)} " if batch.container else ""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(batch.environment.items()))
    commands = "\n".join(f"  {_quoted(command)}" for command in batch.commands)
    head = "#!/bin/bash\n" + "".join(f"#SBATCH {option}\n" for option in options)
    return head + _BODY.format(
        exports=exports,
        setup=batch.setup or ":",
        inside=inside,
        commands=commands,
        cpus=batch.cpus,
        gpus=batch.gpus,
        nodes=batch.nodes,
        cut_off="|".join(map(str, CUT_OFF)),
        most=MOST_RESTARTS,
    )


def _quoted(command: str) -> str:
    """Return a command as one word that people can read; what it expands is expanded when it runs."""
    return '"' + re.sub(r'(["$`\\\\])', r"\\\1", command) + '"'


# Doubled braces are bash's own.
_BODY = r"""
# Brings Ray up on the nodes of this job, runs the command on the first of them, and goes back into the queue where it was cut off.
set -u
{exports}# shellcheck source=/dev/null
{setup}
commands=(
{commands}
)
command=${{commands[${{SLURM_ARRAY_TASK_ID:-0}}]}}

# Of this job alone: several share a node, and other users may sit there. Its nodes go together: Ray's 30 s of draining each other are for nobody.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 TUNER_JOB_FOLDER="/tmp/tuner-slurm-$SLURM_JOB_ID"
RAY_AUTH_TOKEN=$({inside}python -c 'import secrets; print(secrets.token_hex(32))') || exit 1
TUNER_ADDRESS=$({inside}python -c '
import os, socket
with socket.socket() as probe:
    probe.bind(("", 0))
    host = os.environ.get("TUNER_HEAD_IP") or socket.gethostbyname(socket.gethostname())
    print(host, probe.getsockname()[1], sep=":")
') || exit 1
export RAY_AUTH_TOKEN TUNER_ADDRESS

# What every node runs. The first one has the head; the others ask for it until it is there.
# shellcheck disable=SC2016  # expanded there
node='
set -u
umask 077
rm -rf "$TUNER_JOB_FOLDER.$SLURM_PROCID"
mkdir "$TUNER_JOB_FOLDER.$SLURM_PROCID" || exit 1
free() {{ python -c "import socket; s = socket.socket(); s.bind((\"\", 0)); print(s.getsockname()[1])"; }}
mine="--num-cpus={cpus} --num-gpus={gpus} --disable-usage-stats --temp-dir=$TUNER_JOB_FOLDER.$SLURM_PROCID/r --dashboard-agent-listen-port=$(free)"
if [ "$SLURM_PROCID" = 0 ]; then
  exec ray start --head --block --node-ip-address="${{TUNER_ADDRESS%:*}}" --port="${{TUNER_ADDRESS##*:}}" --include-dashboard=false \
    --ray-client-server-port="$(free)" $mine
fi
for _ in $(seq 60); do
  python -c "import socket, sys; host, _, port = sys.argv[1].rpartition(\":\"); socket.create_connection((host, int(port)), 5).close()" "$TUNER_ADDRESS" \
    2>/dev/null && break
  sleep 2
done
exec ray start --block --address="$TUNER_ADDRESS" $mine
'
srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --overlap {inside}bash -c "$node" &
ray=$!

asked=
driver=
# shellcheck disable=SC2329  # by the traps below
stop() {{  # the end of the time, a preemption, scancel: the command stops after the epochs that are being trained
  asked=$1
  [ -n "$driver" ] && kill -TERM "$driver"
}}
trap 'stop USR1' USR1
trap 'stop TERM' TERM

for _ in $(seq 120); do
  {inside}python -c 'import socket, sys; host, _, port = sys.argv[1].rpartition(":"); socket.create_connection((host, int(port)), 5).close()' "$TUNER_ADDRESS" \
    2>/dev/null && break
  kill -0 "$ray" 2>/dev/null || {{ echo "Ray did not start on the nodes of this job" >&2; exit 1; }}
  sleep 1
done
if [ -z "$asked" ]; then
  {inside}bash -c "exec $command" &
  driver=$!
fi
code=143
while [ -n "$driver" ]; do  # a signal ends `wait`, not the command
  wait "$driver"
  code=$?
  kill -0 "$driver" 2>/dev/null || break
done

trap - TERM
kill -TERM "$ray" 2>/dev/null
wait "$ray"
# shellcheck disable=SC2016  # expanded there
srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --overlap bash -c 'rm -rf "$TUNER_JOB_FOLDER.$SLURM_PROCID"'

case $code in
  {cut_off})
    # After scancel, and where the same sweep was cut off again and again, nothing follows.
    if [ "$asked" != TERM ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {most} ]; then
      scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "$code"
"""
