"""`tuner manifest kuberay`, `vm` and `docker`: files that bring a cluster up for a sweep."""

import platform
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cluster.manifests import Launch
    from tuner.spec.sweep_spec import SweepSpec

SPEC = click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))


def _of_workers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what runs and on which workers."""
    count = click.IntRange(min=1)
    for option in (
        click.option("--workers", type=count, default=1, show_default=True, help="Workers to begin with."),
        click.option("--max-workers", type=count, help="How many the autoscaler may bring. Default: as many as --workers."),
        click.option("--worker-cpus", type=count, default=4, show_default=True, help="CPUs of a worker."),
        click.option("--worker-gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs of a worker."),
        click.option("--worker-memory", type=count, default=16, show_default=True, help="Memory of a worker, GiB."),
        click.option("--image", required=True, help="The image that `tuner manifest docker` describes, such as registry.example.com/tuner:1."),
    ):
        command = option(command)
    return command


@click.group()
def manifest() -> None:
    """Print files that bring a cluster up for a sweep."""


@manifest.command()
@SPEC
@click.option("--claim", help="The PersistentVolumeClaim (ReadWriteMany) that the sweep is written to. Default: sweeps; none where SPEC's storage is a bucket.")
@click.option("--secret", help="A Secret whose entries all containers get as environment variables, such as a bucket's credentials.")
@_of_workers
def kuberay(spec: Path, claim: str | None, secret: str | None, **workers: Any) -> None:
    """Print a RayJob (KubeRay 1.5.1 or newer) that runs SPEC: `tuner manifest kuberay SPEC --image I | kubectl apply -f -`.

    A failed job is run again on a new cluster, and goes on with the sweep, which lies on the claim or in SPEC's storage.
    """
    from cluster import manifests
    from tuner.cli import shipping
    from tuner.spec import sweep_spec as specs
    from tuner.study import storage

    checked = specs.load(spec)
    launch = _launch(checked, workers)
    if claim is None and not (checked.kept_at and storage.is_bucket(checked.kept_at)):
        claim = "sweeps"
    with tempfile.TemporaryDirectory(prefix="tuner-") as packed:
        folder = f"{manifests.SHARED if claim else shipping.AT_HOME}/{checked.name}"
        names = shipping.pack(spec, checked, overrides=(), folder=folder, into=Path(packed))
        files = {name: (Path(packed) / name).read_text(encoding="utf-8") for name in names}
    launch = replace(launch, files=files, claim=claim, secret=secret, command=f"python {manifests.MOUNTED}/entry.py")
    click.echo(_yaml(*manifests.rayjob(launch)), nl=False)


@manifest.command()
@SPEC
@click.option("--provider", type=click.Choice(["aws", "gcp"]), default="aws", show_default=True)
@click.option("--region", default=None, help="Default: us-west-2; for gcp a zone, us-central1-a.")
@click.option("--project", default=None, help="The id of a Google Cloud project.")
@_of_workers
def vm(spec: Path, provider: str, region: str | None, project: str | None, **workers: Any) -> None:
    """Print a cluster file for `ray up` on virtual machines that fit SPEC.

    \b
    ray get-auth-token --generate      once; the token reaches the machines as a file
    ray up FILE; ray dashboard FILE    the job server is then at http://127.0.0.1:8265
    tuner submit SPEC
    """
    from cluster import manifests
    from tuner.spec import sweep_spec as specs

    launch = _launch(specs.load(spec), workers)
    region = region or {"aws": "us-west-2", "gcp": "us-central1-a"}[provider]
    file = manifests.ray_up(launch, provider, region=region, project=project)  # type: ignore[arg-type]  # click has checked it
    click.echo(_yaml(file), nl=False)


@manifest.command()
@click.option("--gpu/--no-gpu", default=True, show_default=True, help="With the CUDA libraries.")
def docker(gpu: bool) -> None:
    """Print the Dockerfile of the image that the other manifests run."""
    from cluster import manifests
    from tuner.cli import shipping

    click.echo(manifests.dockerfile(python=".".join(platform.python_version_tuple()[:2]), ray=shipping.versions()["ray"], gpu=gpu), nl=False)


def _yaml(*documents: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes out what occurs twice, instead of pointing to the first."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump_all(documents, Dumper=Plain, sort_keys=False, width=160)


def _launch(spec: "SweepSpec", workers: dict[str, Any]) -> "Launch":
    from cluster import manifests
    from cluster.resources import Capacity, Node
    from tuner.cli import shipping

    group = manifests.Group(
        workers=workers["workers"],
        max_workers=workers["max_workers"] or workers["workers"],
        cpus=workers["worker_cpus"],
        gpus=workers["worker_gpus"],
        memory_gib=workers["worker_memory"],
    )
    # A worker is labelled as trials ask for; what only excludes says nothing of what it is.
    labels = {name: wanted for name, wanted in spec.resources.labels.items() if not wanted.startswith(("!", "in("))}
    node = Node("worker", cpus=group.cpus, gpus=group.gpus, labels=tuple(sorted(labels.items())))
    for resources in spec.resources.allot(Capacity((node,))).every:
        group.check(resources)
    name = re.sub("[^a-z0-9]+", "-", spec.name.lower()).strip("-")[:40].strip("-")
    return manifests.Launch(name=f"sweep-{name}", image=workers["image"], ray=shipping.versions()["ray"], group=group, labels=labels)
