"""Manifests against published schemas: Ray's own for `ray up`; Kubernetes' own for ConfigMaps and pods; for what KubeRay puts around them its CRD's, see
`tests/kuberay.py`."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray.autoscaler
import yaml

from cluster import manifests
from cluster.errors import ClusterError
from cluster.resources import Resources
from tests import kuberay
from tests.cli.test_main import run
from tuner.cli import entry
from tuner.cli import main as cli


def follows(files: dict[str, Any], job: dict[str, Any]) -> None:
    """Hold both objects of a manifest against their schemas, strictly: a word that a schema does not know is a mistake."""
    jsonschema.validate(job, kuberay.RAYJOB)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": group["template"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    kubernetes_validate.validate(files, kubernetes_validate.latest_version(), strict=True)


@pytest.fixture
def tuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: run(*map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.toml"
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.py").write_text("def build(configuration, problem): ...")
    path.write_text(
        'name = "My.Sweep_1"\nspace = {builder = "nets.mine:build", kind = ["a", "b"]}\nsearch = {trials = 1}\n'
        '[resources]\ngpus = 0.5\nlabels = {"ray.io/accelerator-type" = "T4", zone = "!b"}\n'
    )
    return path


def test_rayjob_follows_the_schema_and_is_safe_to_be_run_again(spec: Path, tuner: Callable) -> None:
    code, out, err = tuner("manifest", "kuberay", spec, "--image", "r/t:1", "--workers", 2, "--max-workers", 6, "--worker-gpus", 4, "--claim", "mine")
    assert (code, err) == (0, "")
    files, job = yaml.safe_load_all(out)
    follows(files, job)
    assert "&id" not in out and "*id" not in out
    assert job["metadata"]["name"] == "sweep-my-sweep-1"

    again = job["spec"]
    assert again["backoffLimit"] == 2
    assert again["shutdownAfterJobFinishes"] is True
    assert yaml.safe_load(again["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    cluster = again["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["enableInTreeAutoscaling"] is True

    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["groupName"], workers["minReplicas"], workers["maxReplicas"]) == ("gpu", 2, 6)
    assert workers["labels"] == {"ray.io/accelerator-type": "T4"}
    pod = workers["template"]["spec"]
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert {"name": "shared", "persistentVolumeClaim": {"claimName": "mine"}} in pod["volumes"]

    head = cluster["headGroupSpec"]
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert head["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/api/local_raylet_healthz"
    packed = json.loads(files["data"]["job.json"])
    assert packed["folder"] == "/sweep/shared/My.Sweep_1"
    for each in (pod, head["template"]["spec"]):
        (volume,) = (volume for volume in each["volumes"] if volume["name"] == "files")
        assert volume["configMap"]["name"] == files["metadata"]["name"]
        mounts = each["containers"][0]["volumeMounts"]
        places = {mount["mountPath"]: files["data"][mount["subPath"]] for mount in mounts if mount["name"] == "files"}
        assert set(places) == {f"/sweep/files/{name}" for name in ("entry.py", "job.json", "nets/mine.py", "sweep.toml")}
        assert places["/sweep/files/sweep.toml"] == spec.read_text()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("spec.rayClusterSpec.workerGroupSpecs.0.replicas", "1"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.maxReplicas", 2**31),
        ("spec.rayClusterSpec.workerGroupSpecs.0.minWorkers", 1),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterSpec.authOptions.mode", "tokens"),
        ("spec.rayClusterSpec.autoscalerOptions", {"upscalingMode": "Fast"}),
        ("spec.rayClusterSpec.autoscalerOptions", {"env": []}),
        ("spec.deletionStrategy", {"onSuccess": {"policy": "DeleteSelf"}}),
        ("spec.retries", 1),
        ("metadata.name", "My_Sweep"),
    ],
)
def test_schema_of_kuberay_finds_mistakes(place: str, value: object, spec: Path, tuner: Callable) -> None:
    _, job = yaml.safe_load_all(tuner("manifest", "kuberay", spec, "--image", "i", "--worker-gpus", 1)[1])
    jsonschema.validate(job, kuberay.RAYJOB)
    *path, last = place.split(".")
    at = job
    for name in path:
        at = at[int(name)] if name.isdigit() else at[name]
    at[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, kuberay.RAYJOB)


def test_sweep_that_is_kept_in_a_bucket_needs_no_shared_volume_and_gets_its_credentials_from_a_secret(spec: Path, tuner: Callable) -> None:
    spec.write_text('storage = "s3://bucket/sweeps"\n' + spec.read_text())
    code, out, err = tuner("manifest", "kuberay", spec, "--image", "r/t:1", "--worker-gpus", 1, "--secret", "bucket-keys")
    assert (code, err) == (0, "")
    files, job = yaml.safe_load_all(out)
    follows(files, job)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert {volume["name"] for volume in pod["volumes"]} == {"files", "memory"}
        assert "shared" not in {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "bucket-keys"}}]
    assert json.loads(files["data"]["job.json"])["folder"] == "~/sweeps/My.Sweep_1"


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_cluster_file_follows_rays_own_schema_and_holds_no_token(provider: str, spec: Path, tuner: Callable) -> None:
    code, out, err = tuner("manifest", "vm", spec, "--image", "r/t:1", "--worker-gpus", 1, "--max-workers", 3, "--provider", provider, "--project", "p")
    assert (code, err) == (0, "")
    file = yaml.safe_load(out)
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(file, schema)
    assert file["provider"]["type"] == provider
    assert set(file["available_node_types"]) == {"head", "gpu"}
    assert file["available_node_types"]["gpu"]["resources"] == {"CPU": 4, "GPU": 1}
    assert file["available_node_types"]["gpu"]["max_workers"] == 3
    assert "--dashboard-host=127.0.0.1" in file["head_start_ray_commands"][1]
    assert all("RAY_AUTH_MODE=token" in file[who][1] for who in ("head_start_ray_commands", "worker_start_ray_commands"))
    assert file["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    assert os.environ["RAY_AUTH_TOKEN"] not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kuberay"], "worker: one trial asks for 1 CPU, 0.5 GPU, ray.io/accelerator-type T4, zone !b, and a worker has 4 CPU, 0 GPU, 16 GiB"),
        (["kuberay", "--workers", "3", "--max-workers", "2"], "--workers: got 3; expected from 1 to --max-workers (2)"),
        (["vm", "--worker-gpus", "1", "--provider", "gcp"], "--project: missing"),
    ],
)
def test_cluster_that_cannot_be_is_one_line(arguments: list[str], message: str, spec: Path, tuner: Callable) -> None:
    code, out, err = tuner("manifest", arguments[0], spec, "--image", "i", *arguments[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_files_that_no_config_map_takes_are_refused() -> None:
    launch = manifests.Launch("n", "i", "2", manifests.Group(), files={"a": "x" * 1_000_000})
    with pytest.raises(ClusterError, match="a ConfigMap takes 900000"):
        manifests.rayjob(launch)
    with pytest.raises(ClusterError, match="make it larger"):
        manifests.Group(memory_gib=1).check(Resources(memory_bytes=2**31))


def test_dockerfile_has_the_versions_that_are_here(tuner: Callable) -> None:
    text = tuner("manifest", "docker", "--no-gpu")[1]
    assert f"FROM rayproject/ray:{ray.__version__}-py3" in text
    assert 'install --no-cache-dir "."' in text
    assert '".[gpu]"' in tuner("manifest", "docker")[1]


def test_job_of_a_manifest_runs_what_is_mounted_and_may_be_run_again(spec: Path, tmp_path: Path, tuner: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    spec.write_text(spec.read_text() + "[cluster]\nwait_s = 30.0\n")
    files, _ = yaml.safe_load_all(tuner("manifest", "kuberay", spec, "--image", "i", "--worker-gpus", 1)[1])
    for key in ("entry.py", "job.json", "sweep.toml"):
        (tmp_path / "mounted").mkdir(exist_ok=True)
        (tmp_path / "mounted" / key).write_text(files["data"][key])
    monkeypatch.setattr(entry, "__file__", str(tmp_path / "mounted" / "entry.py"))
    ran: list[str] = []
    monkeypatch.setattr(cli, "main", lambda: ran.extend(entry.sys.argv))
    for _ in range(2):
        ran.clear()
        monkeypatch.setattr("sys.argv", ["entry.py"])
        entry.main()
        assert ran[:3] == ["tuner", "run", str(tmp_path / "mounted" / "sweep.toml")]
        assert 'folder="/sweep/shared/My.Sweep_1"' in ran
        assert 'cluster={target="address", address="auto", wait_s=30.0}' in ran
