import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import doctor, probe
from tests.cli.test_main import run
from tuner.cli import doctor as checks
from tuner.cli import shipping

NODE = {
    "node": "n/1",
    "ray_cpus": 4.0,
    "ray_gpus": 0.0,
    "skew_s": 0.0,
    "versions": {"python": "3.11.2", "ray": "2.60.0", "keras": "3.15.1"},
    "executable": "/usr/bin/python",
    "cpus": 4,
    "threads": {},
    "memory_bytes": 8 * 2**30,
    "disk_bytes": 80 * 2**30,
    "gpus": None,
    "folder": {"writable": True, "shared": True, "why": ""},
}
EXPECTED = {"python": "3.11.9", "ray": "2.60.0", "keras": "3.15.0"}


def found(**facts: Any) -> list[tuple[str, bool]]:
    return [(finding.text, finding.fatal) for finding in doctor.judge({**NODE, **facts}, EXPECTED, exact=("ray",))]


def test_node_that_is_alike_has_nothing_wrong() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("facts", "text", "fatal"),
    [
        ({"versions": {**NODE["versions"], "ray": "2.60.1"}}, "ray is 2.60.1; expected 2.60.0", True),
        ({"versions": {**NODE["versions"], "python": "3.12.2"}}, "python is 3.12.2; expected 3.11.9", True),
        ({"versions": {**NODE["versions"], "keras": None}}, "keras is not installed; expected 3.15.0 in /usr/bin/python", True),
        ({"ray_gpus": 2.0, "gpus": 0}, "Ray counts 2 GPUs, and 0 can be computed on; look at its drivers and CUDA packages", True),
        ({"folder": {"writable": False, "shared": False, "why": "Permission denied"}}, "the sweep's folder cannot be written to (Permission denied)", True),
        ({"folder": {"writable": True, "shared": False, "why": ""}}, "the sweep's folder is not the driver's", False),
        ({"memory_bytes": 2**29}, "0.5 GiB of memory are free", False),
        ({"disk_bytes": 2**29}, "0.5 GiB are free for temporary files", False),
        ({"cpus": 2}, "Ray counts 4 CPUs, and its processes may use 2", False),
        ({"skew_s": 9.0}, "its clock is 9.0 s off the driver's", False),
    ],
)
def test_each_fault_is_told_with_whether_a_sweep_would_fail(facts: dict, text: str, fatal: bool) -> None:
    (told,) = found(**facts)
    assert told[0].startswith(text)
    assert told[1] is fatal


def test_node_looks_at_itself(tmp_path: Path) -> None:
    (tmp_path / "sign").touch()
    facts = probe.examine(("pytest", "no-such-package"), str(tmp_path), "sign", "print('noise'); print(3)")
    assert facts["versions"]["pytest"] == pytest.__version__
    assert facts["versions"]["no-such-package"] is None
    assert facts["gpus"] == 3
    assert facts["folder"] == {"writable": True, "shared": True, "why": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["sign"]
    elsewhere = probe.examine((), str(tmp_path / "new"), "sign", "raise SystemExit(1)")
    assert elsewhere["folder"] == {"writable": True, "shared": False, "why": ""}
    assert not (tmp_path / "new").exists()
    assert elsewhere["gpus"].startswith("IndexError")
    assert probe.examine((), str(tmp_path / "sign" / "below"), None, None)["folder"]["writable"] is False


@pytest.fixture
def tuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: run(*map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


def write_spec(place: Path, *, folder: Path, data: Path, more: str = "") -> Path:
    lines = ['name = "s"', f"folder = {json.dumps(str(folder))}", "search = {trials = 1}", more]
    lines.append(f"dataset = {{source = 'npz', path = {json.dumps(str(data))}}}")
    (place / "sweep.toml").write_text("\n".join(lines))
    return place / "sweep.toml"


def test_every_node_is_shown_and_a_sweep_that_can_run_is_exit_code_0(ray_address: str, tmp_path: Path, blobs: Path, tuner: Callable) -> None:
    spec = write_spec(tmp_path, folder=tmp_path / "s", data=blobs)
    code, out, err = tuner("doctor", spec, "--address", ray_address)
    assert (code, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[0] == ray_address
    assert len(lines) == 6
    assert shipping.versions()["tensorflow"] in lines[2]
    assert "shared" in lines[2]
    assert lines[3] == "2 trials at a time, 1 CPU each"
    assert lines[4].startswith("data: 192 rows for the search")
    assert lines[5] == "a sweep can run"
    assert not (tmp_path / "s").exists()


def test_sweep_that_would_fail_is_exit_code_1(ray_address: str, tmp_path: Path, tuner: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "versions", lambda: {"ray": "1.0", "no-such-package": "2"})
    spec = write_spec(tmp_path, folder=tmp_path, data=Path("gone.npz"), more="resources = {gpus = 1}")
    code, out, _ = tuner("doctor", spec, "--address", ray_address, "--json")
    facts = json.loads(out)
    assert code == 1
    problems = "\n".join(facts["problems"])
    assert "ray is 2.60" in problems
    assert "no-such-package is not installed" in problems
    assert "resources: one trial asks for" in problems
    assert "gone.npz: no such file" in problems
    assert facts["warnings"] == []


def test_node_that_reads_another_table_or_none_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, other = tmp_path / "t.parquet", tmp_path / "other.parquet"
    table.write_bytes(b"PAR1 one PAR1")
    other.write_bytes(b"PAR1 two PAR1")
    assert checks.fingerprint(str(table)) == checks.fingerprint(str(table)) != checks.fingerprint(str(other))
    answers = {"a": checks.fingerprint(str(table)), "b": "another", "c": OSError("no such file")}
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": node, "NodeManagerHostname": f"host-{node}"} for node in answers])
    monkeypatch.setattr("cluster.targets.on_every_node", lambda function, path, timeout_s: answers)
    assert checks._unread(str(table)) == [
        f"host-b: dataset.path: {table} is another table than the driver's; expected one that all nodes share",
        f"host-c: dataset.path: {table} cannot be read there (no such file)",
    ]
