"""Manifests against published schemas: Ray's own for `ray up`; Kubernetes' own for ConfigMaps and pods; for what KubeRay puts around them its CRD's, see
`tests/kuberay.py`."""

import json
import os
import re
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
from cluster.virtual_machines import MACHINES, smallest
from tests import kuberay
from tests.cli.test_main import run
from tuner.cli import entry
from tuner.cli import main as cli
from tuner.errors import DatasetError, SpecError, SweepError


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
    assert job["metadata"]["name"].startswith("sweep-my-sweep-1-")  # changed, so that another one may be called likewise

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
    assert bool(file["initialization_commands"]) == (provider == "gcp")  # whose image has no Docker
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


PLAIN = 'name = "{name}"\ndataset = {{source = "digits"}}\nsearch = {{trials = 3}}\n'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("imagenet-resnet-50-cosine-warmup-adamw-lr1", "imagenet-resnet-50-cosine-warmup-adamw-lr2"),
        ("A_b", "a.b"),
        ("a b", "a-b"),
        ("größe", "gr-e"),
        ("日本", "日"),
        ("a" * 34, "a" * 35),
    ],
)
def test_two_sweeps_have_objects_of_two_names_and_one_has_always_the_same(one: str, other: str, tmp_path: Path, tuner: Callable) -> None:
    names = []
    for name in (one, other, one):
        (tmp_path / "s.toml").write_text(PLAIN.format(name=name))
        files, job = yaml.safe_load_all(tuner("manifest", "kuberay", tmp_path / "s.toml", "--image", "i")[1])
        follows(files, job)
        names.append((job["metadata"]["name"], files["metadata"]["name"]))
    assert names[0] == names[2] and names[0][0] != names[1][0] and names[0][1] != names[1][1]
    assert all(len(name) <= 47 for pair in names for name in pair[:1])


def test_pods_have_no_rights_that_they_do_not_need(spec: Path, tuner: Callable) -> None:
    for most, talks in ((1, False), (3, True)):
        code, out, _ = tuner("manifest", "kuberay", spec, "--image", "i", "--worker-gpus", 1, "--max-workers", most)
        assert code == 0
        files, job = yaml.safe_load_all(out)
        follows(files, job)
        cluster = job["spec"]["rayClusterSpec"]
        head, worker = cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]
        # Only a head that asks for more pods talks to Kubernetes.
        assert (head["automountServiceAccountToken"], worker["automountServiceAccountToken"]) == (talks, False)
        for pod in (head, worker):
            assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
            assert pod["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            memory = int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi"))
            (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "memory")
            assert 1 <= int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) < memory
            assert pod["terminationGracePeriodSeconds"] == 120


def test_an_administrators_words_reach_the_pods(spec: Path, tuner: Callable) -> None:
    words = ["--node-selector", "gke-spot=true", "--node-selector", "pool=a", "--tolerate", "spot=true", "--tolerate", "lone", "--pull-secret", "registry"]
    more = ["--max-hours", "1.5", "--head-cpus", "4", "--head-memory", "24", "--mount", "houses:/data", "--worker-gpus", "1"]
    code, out, err = tuner("manifest", "kuberay", spec, "--image", "i", *words, *more)
    assert (code, err) == (0, "")
    files, job = yaml.safe_load_all(out)
    follows(files, job)
    assert job["spec"]["activeDeadlineSeconds"] == 5400
    cluster = job["spec"]["rayClusterSpec"]
    head, worker = cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]
    assert worker["nodeSelector"] == {"gke-spot": "true", "pool": "a"} and "nodeSelector" not in head
    assert worker["tolerations"][1:] == [{"key": "spot", "operator": "Equal", "value": "true"}, {"key": "lone", "operator": "Exists"}]
    assert "tolerations" not in head  # a head is not to be taken away
    assert head["containers"][0]["resources"]["limits"] == {"cpu": "4", "memory": "24Gi"}
    for pod in (head, worker):
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert {"name": "data-0", "persistentVolumeClaim": {"claimName": "houses", "readOnly": True}} in pod["volumes"]
        assert {"name": "data-0", "mountPath": "/data", "readOnly": True} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("path", "words", "said"),
    [
        ("/data/houses.parquet", [], "dataset.path: /data/houses.parquet: the pods have /sweep/shared and what the image holds; `--mount CLAIM:/data`"),
        ("/data/houses.parquet", ["--mount", "houses:/data"], ""),
        ("/sweep/shared/houses.parquet", [], ""),
        ("s3://bucket/houses.parquet", [], ""),
        ("/database/houses.parquet", ["--mount", "houses:/data"], "dataset.path: /database/houses.parquet: the pods have /sweep/shared, /data and"),
    ],
)
def test_data_that_no_pod_has_are_spoken_of(path: str, words: list[str], said: str, tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "s.toml").write_text(f'name = "s"\nsearch = {{trials = 1}}\n[dataset]\nsource = "table"\npath = "{path}"\ntarget = "price"\n')
    code, _, err = tuner("manifest", "kuberay", tmp_path / "s.toml", "--image", "i", *words)
    assert code == 0 and (said in err if said else err == "")


@pytest.mark.parametrize(
    "words", [["--mount", "houses"], ["--mount", "Houses:/data"], ["--mount", "h:/sweep/files"], ["--mount", "h:data"], ["--node-selector", "spot"]]
)
def test_words_that_no_cluster_would_take_are_refused(words: list[str], tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "s.toml").write_text(PLAIN.format(name="s"))
    code, out, err = tuner("manifest", "kuberay", tmp_path / "s.toml", "--image", "i", *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and words[0] in err


def test_files_of_any_name_have_keys_that_a_config_map_takes_and_no_two_the_same(tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "pkg").mkdir()
    for name, text in {"__init__.py": "", "my_módule.py": "from pkg import a__b\nimport pkg__a__b\ndef build_model(c, p): ...", "a__b.py": "x = 1"}.items():
        (tmp_path / "pkg" / name).write_text(text)
    (tmp_path / "pkg__a__b.py").write_text("x = 2")
    (tmp_path / "s.toml").write_text('name = "s"\nspace = {builder = "pkg.my_módule:build_model", units = [1, 2]}\nsearch = {trials = 1}\n')
    code, out, err = tuner("manifest", "kuberay", tmp_path / "s.toml", "--image", "i")
    assert (code, err) == (0, "")
    files, job = yaml.safe_load_all(out)
    follows(files, job)
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key) for key in files["data"])
    mounts = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["volumeMounts"]
    places = {mount["mountPath"].removeprefix("/sweep/files/"): files["data"][mount["subPath"]] for mount in mounts if mount["name"] == "files"}
    for name in ("pkg/__init__.py", "pkg/my_módule.py", "pkg/a__b.py", "pkg__a__b.py", "s.toml"):
        assert places["sweep.toml" if name == "s.toml" else name] == (tmp_path / name).read_text()


@pytest.mark.parametrize(
    ("provider", "asked", "name"),
    [
        # By the providers' own lists: the least that has as much of everything.
        ("aws", {"cpus": 4, "memory_gib": 16}, "m6i.xlarge"),
        ("aws", {"cpus": 4, "memory_gib": 17}, "r6i.xlarge"),
        ("aws", {"cpus": 4, "memory_gib": 16, "gpus": 1}, "g5.xlarge"),
        ("aws", {"cpus": 96, "memory_gib": 768, "gpus": 8}, "g5.48xlarge"),
        ("aws", {"cpus": 4, "memory_gib": 16, "gpus": 2}, "g5.12xlarge"),
        ("gcp", {"cpus": 5, "memory_gib": 16}, "n2-standard-8"),
        ("gcp", {"cpus": 24, "memory_gib": 96, "gpus": 2}, "g2-standard-24"),
        ("gcp", {"cpus": 25, "memory_gib": 1, "gpus": 1}, "g2-standard-32"),
    ],
)
def test_a_worker_is_the_smallest_machine_that_has_what_was_asked_for(provider: str, asked: dict[str, int], name: str) -> None:
    assert smallest(provider, **asked).name == name


@pytest.mark.parametrize("asked", [{"cpus": 1000, "memory_gib": 1}, {"cpus": 1, "memory_gib": 10_000}, {"cpus": 4, "memory_gib": 16, "gpus": 16}])
def test_a_machine_that_nobody_has_is_refused_with_the_largest(asked: dict[str, int]) -> None:
    for provider in MACHINES:
        with pytest.raises(ClusterError, match=rf"no machine type of {provider} that is known here has as much \(the largest is"):
            smallest(provider, **asked)


def test_ray_is_told_of_what_the_machines_have(tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "s.toml").write_text(PLAIN.format(name="s"))
    words = ["--worker-gpus", 8, "--worker-cpus", 96, "--worker-memory", 768]
    out = tuner("manifest", "vm", tmp_path / "s.toml", "--image", "i", *words)[1]
    assert "# workers: g5.48xlarge: 192 CPUs, 768 GiB, 8 GPUs" in out
    workers = yaml.safe_load(out)["available_node_types"]["gpu"]
    assert (workers["node_config"]["InstanceType"], workers["resources"]) == ("g5.48xlarge", {"CPU": 192, "GPU": 8})
    out = tuner("manifest", "vm", tmp_path / "s.toml", "--image", "i", *words, "--worker-type", "p4d.24xlarge", "--spot")[1]
    workers = yaml.safe_load(out)["available_node_types"]["gpu"]
    assert (workers["node_config"]["InstanceType"], workers["resources"]) == ("p4d.24xlarge", {"CPU": 96, "GPU": 8})
    assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"} and "look it up" in out
    assert "InstanceMarketOptions" not in yaml.safe_load(out)["available_node_types"]["head"]["node_config"]


@pytest.mark.parametrize("region", ["europe-west4", "eu", "us-central1-"])
def test_a_region_of_google_is_no_zone(region: str, tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "s.toml").write_text(PLAIN.format(name="s"))
    code, _, err = tuner("manifest", "vm", tmp_path / "s.toml", "--image", "i", "--provider", "gcp", "--project", "p", "--region", region)
    assert (
        code == 2 and f"--region: got '{region}'; expected a zone for gcp, such as {'europe-west4-a' if region == 'europe-west4' else 'us-central1-a'}" in err
    )


def test_spot_machines_of_google_are_the_workers_alone(tmp_path: Path, tuner: Callable) -> None:
    (tmp_path / "s.toml").write_text(PLAIN.format(name="s"))
    types = yaml.safe_load(tuner("manifest", "vm", tmp_path / "s.toml", "--image", "i", "--provider", "gcp", "--project", "p", "--spot")[1])[
        "available_node_types"
    ]
    assert {"preemptible": True} in types["cpu"]["node_config"]["scheduling"] and "scheduling" not in types["head"]["node_config"]


@pytest.mark.parametrize(("error", "again"), [(SpecError, False), (DatasetError, False), (ClusterError, True), (SweepError, True), (None, True)])
def test_a_job_whose_input_was_refused_is_not_tried_again_on_new_clusters(
    error: type[Exception] | None, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.toml").write_text('name = "s"\n')
    job = {"spec": "sweep.toml", "overrides": [], "folder": str(tmp_path / "folder"), "wait_s": None, "versions": {}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    monkeypatch.setattr(entry, "__file__", str(tmp_path / "entry.py"))
    ran: list[int] = []

    def end() -> None:
        ran.append(1)
        if error is None:
            return
        try:
            raise error("dataset.path: gone.csv: no such file")
        except error:
            raise SystemExit(2) from None

    monkeypatch.setattr(cli, "main", end)

    def attempt() -> int:
        monkeypatch.setattr("sys.argv", ["entry.py"])
        try:
            entry.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    first, second = attempt(), attempt()
    assert first == second == (2 if error else 0)
    assert len(ran) == (2 if again else 1)
    if not again:
        assert "refused before, and not tried again: dataset.path: gone.csv: no such file" in capsys.readouterr().err
        (tmp_path / "sweep.toml").write_text('name = "s"\nseed = 1\n')  # another input is another job
        attempt()
        assert len(ran) == 2
