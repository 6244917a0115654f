import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cluster import targets, tokens
from cluster.errors import ClusterError
from cluster.targets import ClusterSection, connect, on_every_node
from tests.heads import head

LOCAL = """
import glob, json, os, signal, sys, tempfile
from cluster import tokens
from cluster.targets import ClusterSection, connect

heard = []
def mine(number, frame): heard.append(number)
signal.signal(signal.SIGTERM, mine)

from ray._private import node
start = node.Node.start_ray_processes
def asked_to_end_meanwhile(self):
    os.kill(os.getpid(), signal.SIGTERM)  # Ray would have set a handler of its own by now
    start(self)
node.Node.start_ray_processes = asked_to_end_meanwhile
def command(file):
    try:
        return open(file, "rb").read().decode(errors="replace")
    except OSError:  # it has ended since
        return ""
def linked(file):
    try:
        return os.readlink(file)
    except OSError:
        return ""
environment, facts = dict(os.environ), {}
for _ in range(2):  # the second one has another token
    with connect(ClusterSection(cpus=1)) as cluster:
        import ray
        os.kill(os.getpid(), signal.SIGTERM)
        facts["handler kept"] = signal.getsignal(signal.SIGTERM) is mine
        facts["heard"] = len(heard)
        facts["cpus"] = cluster.capacity.cpus
        facts["warnings"] = cluster.warnings
        address = ray.get_runtime_context().gcs_address
        facts["guarded"] = tokens.check(address)
        folder = os.path.dirname(cluster.scratch)
        facts["token in a file of its owner"] = oct(os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode)[-3:]
        folder = os.path.dirname(cluster.scratch)
        # What the processes of this Ray, and this one, listen on; in hexadecimal, the last byte first.
        held = set()
        for process in glob.glob("/proc/[0-9]*"):
            files = {linked(file) for file in glob.glob(f"{process}/fd/*")}
            if any(file.startswith(folder) for file in files) or folder in command(f"{process}/cmdline") or process == f"/proc/{os.getpid()}":
                held |= files
        rows = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]
        listening = [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]
        loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
        facts["listens"] = len(listening) >= 5, sorted(set(listening) - loopback)
        facts["folder of its owner"] = oct(os.stat(folder).st_mode)[-3:]
        where = ray.get(ray.remote(num_cpus=0)(lambda: __import__("sys").path).remote())
        facts["working folder"] = os.getcwd() in where
        facts["works"] = ray.get(ray.remote(num_cpus=1)(lambda: 42).remote())
        lines = [command(file) for file in glob.glob("/proc/[0-9]*/cmdline")]
        facts["idle"] = [name for name in ("dashboard.py", "/monitor.py", "log_monitor.py") if any(name in line and folder in line for line in lines)]
    facts["environment restored"] = dict(os.environ) == environment
    facts["folder gone"] = not os.path.exists(folder)
    facts["token at home"] = os.path.exists(os.path.expanduser("~/.ray/auth_token"))
print(json.dumps(facts))
"""


def test_ray_of_our_own_is_guarded_by_a_token_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Files of the user's that are called as our packages are: what Ray starts must not import them.
    for name in ("tuner", "cluster", "search_spaces", "optuna"):
        (tmp_path / f"{name}.py").write_text('raise ImportError("a file of the user\'s, which has nothing to do with this")')
    environment = {name: value for name, value in os.environ.items() if name not in tokens.NAMES} | {"HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.remove(''); exec({LOCAL!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "handler kept": True,
        "heard": 4,
        "cpus": 1,
        "warnings": [],
        "guarded": True,
        "token in a file of its owner": "600",
        "listens": [True, []],
        "folder of its owner": "700",
        "working folder": False,
        "works": 42,
        "idle": [],
        "environment restored": True,
        "folder gone": True,
        "token at home": False,
    }
    assert not run.stderr


FAILING = """
import glob, json, os, tempfile, time
from cluster.targets import ClusterSection, connect

def processes(folder):
    found = []
    for file in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            found.append(open(file, "rb").read().decode(errors="replace"))
        except OSError:  # it has ended since
            continue
    return sum(folder in line for line in found)

def work():
    (folder,) = glob.glob(tempfile.gettempdir() + "/tuner-ray-*")
    facts.update(folder=folder, begun=processes(folder) > 0)
    raise LookupError("no data")

facts = {}
try:
    with connect(ClusterSection(cpus=1), meanwhile=work):
        facts["connected"] = True
except LookupError as error:
    facts["told"] = str(error)
folder = facts.pop("folder")
until = time.monotonic() + 30
while processes(folder) and time.monotonic() < until:
    time.sleep(0.1)
print(json.dumps({**facts, "left": [processes(folder), os.path.exists(folder)]}))
"""


def test_what_fails_while_ray_starts_is_told_and_ends_its_daemons() -> None:
    with tempfile.TemporaryDirectory(prefix="own-") as folder:
        environment = {**os.environ, "TMPDIR": folder}
        run = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], timeout=120)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == {"begun": True, "told": "no data", "left": [0, False]}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"target": "local", "address": "1.2.3.4:5"}, r"cluster\.address: got '1\.2\.3\.4:5' with target 'local'"),
        ({"target": "address"}, r"cluster\.address: missing with target 'address'"),
        ({"target": "address", "address": "h:1", "cpus": 2}, "only for target 'local'"),
        ({"target": "address", "address": "10.0.0.1"}, r"got '10\.0\.0\.1'; expected host:port"),
        ({"target": "address", "address": "http://h:8265"}, "expected host:port of the head"),
        ({"target": "address", "address": "h:99999"}, "expected host:port of the head"),
    ],
)
def test_impossible_targets_are_refused_in_one_line(section: dict, message: str) -> None:
    with pytest.raises(ClusterError, match=message) as refusal, connect(ClusterSection(**section)):
        pass
    assert "\n" not in str(refusal.value)


def test_auto_without_a_cluster_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match='got "auto", but no Ray cluster runs on this machine'):
        targets.resolve("auto")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert targets.resolve("auto") == "10.0.0.1:6379"


def refused(address: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Return why the address is refused: quickly, and without a word of Ray's own."""
    began = time.monotonic()
    with pytest.raises(ClusterError) as refusal, connect(ClusterSection(target="address", address=address)):
        pass
    assert time.monotonic() - began < tokens.PROBE_S + 5
    assert capfd.readouterr() == ("", "")
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_address_where_nothing_answers_is_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert "no Ray head answers at '127.0.0.1:1'" in refused("127.0.0.1:1", capfd)
    assert "no Ray head answers at 'no-such-host.invalid:6379'" in refused("no-such-host.invalid:6379", capfd)


def test_missing_and_wrong_tokens_are_told_at_once(
    ray_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    assert "does not accept the token that is here; put its token into" in refused(ray_address, capfd)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "asks for a token, and there is none here" in refused(ray_address, capfd)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nowhere"))
    assert "RAY_AUTH_TOKEN_PATH: " in refused(ray_address, capfd)


def test_token_is_taken_from_where_ray_takes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert tokens.token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("at home\n")
    assert tokens.token() == "at home"
    (tmp_path / "elsewhere").write_text("elsewhere")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    assert tokens.token() == "elsewhere"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "in the environment")
    assert tokens.token() == "in the environment"


def test_running_cluster_is_joined_whatever_the_mode_says_and_its_nodes_are_left_clean(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    environment = dict(os.environ)

    def write(folder: str) -> str:
        Path(folder).mkdir(exist_ok=True)  # the driver's own node has it already
        (Path(folder) / "file").write_text("x")
        return folder

    with connect(ClusterSection(target="address", address=ray_address)) as cluster:
        assert cluster.capacity.cpus == 2
        assert cluster.warnings == ()
        assert list(on_every_node(write, cluster.scratch).values()) == [cluster.scratch]
        assert Path(cluster.scratch).stat().st_mode & 0o077 == 0  # nobody else looks into it
    assert not Path(cluster.scratch).exists()
    assert dict(os.environ) == environment


def test_what_a_node_raises_is_its_answer(ray_address: str) -> None:
    def fail() -> None:
        raise OSError("disk full")

    def sleep() -> None:
        time.sleep(60)

    with connect(ClusterSection(target="address", address=ray_address)):
        (answer,) = on_every_node(fail).values()
        (slow,) = on_every_node(sleep, timeout_s=0.5).values()
    assert "disk full" in str(answer)
    assert isinstance(slow, TimeoutError)


UNGUARDED = """
import sys
from cluster.targets import ClusterSection, connect
with connect(ClusterSection(target="address", address=sys.argv[1])) as cluster:
    print(cluster.capacity.gpus, *cluster.warnings)
"""


def test_cluster_without_token_authentication_is_joined_with_a_warning(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in tokens.NAMES} | {"HOME": str(tmp_path)}
    with head("--num-cpus=1", "--num-gpus=2", environment={"RAY_AUTH_MODE": "disabled"}) as (address, _):
        command = [sys.executable, "-c", UNGUARDED, address]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"2.0 {tokens.UNGUARDED.format(address=address)}\n"
    assert not run.stderr


ANY_TARGET = """
import json, os, sys
from cluster.targets import ClusterSection, connect
target, address = sys.argv[1:]
environment, asked = dict(os.environ), []
with connect(ClusterSection(target=target, address=address or None), meanwhile=lambda: asked.append(1)) as cluster:
    (node,) = cluster.capacity.nodes
    facts = {"asked": len(asked) > 0, "cpus": node.cpus >= 1, "described": bool(cluster.description)}
    os.makedirs(cluster.scratch, exist_ok=True)
    with open(os.path.join(cluster.scratch, "file"), "w") as file:
        file.write("x")
print(json.dumps({**facts, "left": os.path.exists(cluster.scratch), "environment": dict(os.environ) == environment}))
"""


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_target_gives_a_cluster_with_a_place_to_write_and_leaves_neither_it_nor_a_variable_behind(target: str, ray_address: str) -> None:
    address = ray_address if target == "address" else ""
    run = subprocess.run(
        [sys.executable, "-c", ANY_TARGET, target, address], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"asked": True, "cpus": True, "described": True, "left": False, "environment": True}
