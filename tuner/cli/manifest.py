"""`tuner manifest kuberay`, `vm`, `slurm` and `docker`: files that bring a cluster up for a sweep."""

import hashlib
import platform
import re
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cluster.manifests import Group, Launch
    from tuner.spec.sweep_spec import SweepSpec

# So long a sweep waits for the nodes of its job, where its spec says nothing.
WAIT_FOR_NODES_S = 300.0
SPEC = click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))


def _of_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what runs, on which head and on which workers."""
    count = click.IntRange(min=1)
    for option in (
        click.option("--workers", type=count, default=1, show_default=True, help="Workers to begin with."),
        click.option("--max-workers", type=count, help="How many the autoscaler may bring. Default: as many as --workers."),
        click.option("--worker-cpus", type=count, default=4, show_default=True, help="CPUs of a worker."),
        click.option("--worker-gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs of a worker."),
        click.option("--worker-memory", type=count, default=16, show_default=True, help="Memory of a worker, GiB."),
        click.option("--head-cpus", type=count, default=2, show_default=True, help="CPUs of the head, which runs no trials."),
        click.option("--head-memory", type=count, default=8, show_default=True, help="Memory of the head, GiB."),
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
@click.option("--mount", "mounts", multiple=True, metavar="CLAIM:/PATH", help="Another claim, mounted for reading at /PATH: where the data lie. Repeatable.")
@click.option("--secret", help="A Secret whose entries all containers get as environment variables, such as a bucket's credentials.")
@click.option("--pull-secret", "pull_secrets", multiple=True, metavar="NAME", help="A Secret that the image is fetched with. Repeatable.")
@click.option("--node-selector", "selectors", multiple=True, metavar="KEY=VALUE", help="A label of the nodes that workers run on. Repeatable.")
@click.option("--tolerate", "tolerated", multiple=True, metavar="KEY[=VALUE]", help="A taint of nodes that workers put up with, such as spot's. Repeatable.")
@click.option("--max-hours", type=click.FloatRange(min=0, min_open=True), help="End all of it after so long. Default: never.")
@_of_cluster
def kuberay(spec: Path, claim: str | None, secret: str | None, **options: Any) -> None:
    """Print a RayJob (KubeRay 1.5.1 or newer) that runs SPEC: `tuner manifest kuberay SPEC --image I | kubectl apply -f -`.

    A failed job is run again on a new cluster, and goes on with the sweep, which lies on the claim or in SPEC's storage; one that its input was refused for
    ends at once.
    """
    from cluster import manifests
    from tuner.cli import shipping
    from tuner.spec import sweep_spec as specs
    from tuner.study import storage

    checked = specs.load(spec)
    launch = _launch(checked, options)
    if claim is None and not (checked.kept_at and storage.is_bucket(checked.kept_at)):
        claim = "sweeps"
    with tempfile.TemporaryDirectory(prefix="tuner-") as packed:
        folder = f"{manifests.SHARED if claim else shipping.AT_HOME}/{checked.name}"
        names = shipping.pack(spec, checked, overrides=(), folder=folder, into=Path(packed))
        files = {name: (Path(packed) / name).read_text(encoding="utf-8") for name in names}
    launch = replace(
        launch,
        files=files,
        claim=claim,
        mounts=_pairs("--mount", options["mounts"], ":"),
        secret=secret,
        pull_secrets=options["pull_secrets"],
        selector=_pairs("--node-selector", options["selectors"], "="),
        tolerated=options["tolerated"],
        max_hours=options["max_hours"],
        command=f"python {manifests.MOUNTED}/entry.py",
    )
    there = [*([manifests.SHARED] if claim else []), *launch.mounts.values()]
    for key in ("path", "test_path"):
        path = getattr(checked.dataset, key)
        if path is not None and "://" not in path and not any(Path(path).is_relative_to(place) for place in there):
            held = f"{', '.join(there) or 'nothing'} and what the image holds"
            click.echo(f"tuner: dataset.{key}: {path}: the pods have {held}; `--mount CLAIM:{Path(path).parent}` mounts the claim that it lies on", err=True)
    click.echo(_yaml(*manifests.rayjob(launch)), nl=False)


@manifest.command()
@SPEC
@click.option("--provider", type=click.Choice(["aws", "gcp"]), default="aws", show_default=True)
@click.option("--region", default=None, help="Default: us-west-2; for gcp a zone, us-central1-a.")
@click.option("--project", default=None, help="The id of a Google Cloud project.")
@click.option("--worker-type", default=None, help="The machine type of workers. Default: the smallest that has the --worker-... asked for.")
@click.option("--spot", is_flag=True, help="Workers on spot machines, which the provider may take away; the head is none.")
@_of_cluster
def vm(spec: Path, provider: str, region: str | None, project: str | None, worker_type: str | None, spot: bool, **cluster: Any) -> None:
    """Print a cluster file for `ray up` on virtual machines that fit SPEC.

    \b
    ray get-auth-token --generate      once; the token reaches the machines as a file
    ray up FILE; ray dashboard FILE    the job server is then at http://127.0.0.1:8265
    tuner submit SPEC
    """
    from cluster import virtual_machines
    from tuner.spec import sweep_spec as specs

    launch = replace(_launch(specs.load(spec), cluster), spot=spot)
    region = region or {"aws": "us-west-2", "gcp": "us-central1-a"}[provider]
    place: Any = provider  # click has checked it
    file, lines = virtual_machines.ray_up(launch, place, region=region, project=project, worker_type=worker_type)
    click.echo("".join(f"# {line}\n" for line in lines) + _yaml(file), nl=False)


@manifest.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path), nargs=-1, required=True)
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Nodes of the job.")
@click.option("--cpus", type=click.IntRange(min=1), default=4, show_default=True, help="CPUs of each node.")
@click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs of each node.")
@click.option("--memory", type=click.IntRange(min=1), default=16, show_default=True, help="Memory of each node, GiB.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True, help="After which the job goes back into the queue.")
@click.option("--sbatch", "lines", multiple=True, metavar="OPTION", help="A further option of sbatch, such as --sbatch=--partition=gpu. Repeatable.")
@click.option("--setup", default="", help="A shell command that comes first, such as '. /shared/venv/bin/activate'.")
@click.option("--container", help="An image that Ray and Tuner run in, by `apptainer exec`.")
def slurm(spec: tuple[Path, ...], **options: Any) -> None:
    """Print a batch script for Slurm that runs SPEC on the job's own nodes: `tuner manifest slurm SPEC > sweep.sh; sbatch sweep.sh`.

    Five minutes before its time is over, and when it is preempted, the sweep stops, and the job goes back into the queue to go on with it. Several SPECs are
    the tasks of an array. The sweep's folder must lie where all nodes see it; relative paths start where sbatch is run.
    """
    from cluster import manifests
    from cluster.slurm import Batch, script
    from tuner.spec import sweep_spec as specs

    group, commands, names = manifests.Group(cpus=options["cpus"], gpus=options["gpus"], memory_gib=options["memory"]), [], []
    for path in spec:
        checked = specs.load(path)
        _check_fits(checked, group)
        names.append(checked.name)
        if checked.cluster.cpus is not None or checked.cluster.gpus is not None:
            raise specs.SpecError(f"{path}: cluster.cpus and cluster.gpus: only for target 'local'; expected --cpus and --gpus here instead")
        wait_s = checked.cluster.wait_s if checked.cluster.wait_s is not None else WAIT_FOR_NODES_S
        place = f"--set cluster.target=address --set cluster.address=$TUNER_ADDRESS --set cluster.wait_s={float(wait_s)!r}"
        again = "the job goes back into the queue, unless it was cancelled"
        commands.append(f"tuner run {shlex.quote(str(path.resolve()))} {place} --again-by {shlex.quote(again)}")
    if len(set(names)) < len(names):
        raise specs.SpecError(f"{', '.join(map(str, spec))}: two of them have one name; expected another for each, for their folders follow from it")
    name = object_name(names[0]) if len(names) == 1 else f"sweeps-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}"
    words = {word: options[word] for word in ("nodes", "cpus", "gpus", "hours", "lines", "setup", "container")}
    click.echo(script(Batch(name, tuple(commands), memory_gib=options["memory"], **words)), nl=False)


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


def _pairs(option: str, texts: tuple[str, ...], separator: str) -> dict[str, str]:
    """Return what an option that may be repeated was given, as key -> value."""
    from tuner.errors import SpecError

    pairs = {}
    for text in texts:
        key, sign, value = text.partition(separator)
        if not (key and sign and value):
            raise SpecError(f"{option}: got {text!r}; expected KEY{separator}VALUE")
        pairs[key] = value
    return pairs


def object_name(name: str) -> str:
    """Return what a sweep's objects are called: at most 40 characters that every cluster takes, and two sweeps never alike."""
    readable = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    if readable == name and len(name) <= 34:
        return f"sweep-{name}"
    # What was cut or changed may be another sweep's name as well.
    return f"sweep-{readable[:25].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".replace("--", "-")


def _launch(spec: "SweepSpec", cluster: dict[str, Any]) -> "Launch":
    from cluster import manifests
    from tuner.cli import shipping

    group = manifests.Group(
        workers=cluster["workers"],
        max_workers=cluster["max_workers"] or cluster["workers"],
        cpus=cluster["worker_cpus"],
        gpus=cluster["worker_gpus"],
        memory_gib=cluster["worker_memory"],
    )
    labels = _check_fits(spec, group)
    return manifests.Launch(
        name=object_name(spec.name),
        image=cluster["image"],
        ray=shipping.versions()["ray"],
        group=group,
        labels=labels,
        head_cpus=cluster["head_cpus"],
        head_memory_gib=cluster["head_memory"],
    )


def _check_fits(spec: "SweepSpec", group: "Group") -> dict[str, str]:
    """Refuse machines on which not one trial fits; return the labels that they must have."""
    from cluster.resources import Capacity, Node

    # A worker is labelled as trials ask for; what only excludes says nothing of what it is.
    labels = {name: wanted for name, wanted in spec.resources.labels.items() if not wanted.startswith(("!", "in("))}
    node = Node("worker", cpus=group.cpus, gpus=group.gpus, labels=tuple(sorted(labels.items())))
    for resources in spec.resources.allot(Capacity((node,))).every:
        group.check(resources)
    return labels
