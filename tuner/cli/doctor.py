"""`tuner doctor`: look at every node before a sweep."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner.monitor.printable import several

if TYPE_CHECKING:
    from cluster.targets import Cluster
    from tuner.spec.sweep_spec import SweepSpec

# Runs on nodes with GPUs, in a process of its own.
COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--address", metavar="HOST:PORT", help='A running cluster instead of the spec\'s; "auto" on one of its nodes.')
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(spec: Path | None, address: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check every node of the cluster (of SPEC, of --address, or this machine): versions, GPUs, memory, disk, clock, and SPEC's folder, data and resources.

    Exit code 1 if a sweep would fail.
    """
    from cluster import doctor as nodes
    from cluster.targets import ClusterSection, connect
    from tuner.cli import entry, shipping
    from tuner.spec import sweep_spec as specs

    checked = None if spec is None else specs.load(spec, overrides)
    section = checked.cluster if checked is not None else ClusterSection()
    if address is not None:
        section = ClusterSection(target="address", address=address)
    with connect(section) as cluster:
        folder = None if checked is None else checked.sweep_folder.resolve()
        examined = nodes.examine(shipping.versions(), exact=entry.EXACT, folder=folder, counting=COUNT_GPUS)
        problems = [f"{finding.node}: {finding.text}" for finding in examined.findings if finding.fatal]
        warnings = [*cluster.warnings, *_keras(problems), *(f"{finding.node}: {finding.text}" for finding in examined.findings if not finding.fatal)]
        facts: dict[str, Any] = {"cluster": cluster.description, "nodes": [dict(node) for node in examined.nodes]}
        if checked is not None:
            facts |= _sweep(checked, cluster, problems)
    facts |= {"problems": problems, "warnings": warnings}
    click.echo(json.dumps(facts) if as_json else several(_text(facts)))
    if problems:
        raise SystemExit(1)


def _keras(problems: list[str]) -> list[str]:
    """Return what trials do otherwise than Keras is set to here, and add what keeps a sweep from starting."""
    from tuner.errors import SpecError
    from tuner.training import keras_settings

    try:
        return keras_settings.check()
    except SpecError as error:
        problems.append(str(error))
        return []


def _sweep(spec: "SweepSpec", cluster: "Cluster", problems: list[str]) -> dict[str, Any]:
    """Return what can be said of a sweep without starting it, and add what is wrong."""
    from cluster.gpus import check_share
    from tuner.data import dataset as data
    from tuner.errors import ClusterError, DatasetError
    from tuner.study import storage

    facts: dict[str, Any] = {}
    try:
        allotment = spec.resources.allot(cluster.capacity)
        facts["trials_at_a_time"] = allotment.fits(cluster.capacity)
        facts["per_trial"] = str(allotment)
        for resources in allotment.every:
            check_share(resources.gpus)
    except ClusterError as error:
        problems.append(str(error))
    if spec.kept_at is not None:
        try:
            problems += storage.check_nodes(spec.kept_at, required=False)
        except ClusterError as error:
            problems.append(f"storage: {error}")
    try:
        dataset, _ = data.load(spec.dataset, spec.seed)
        # Of a table that is not streamed, only the driver reads: what trials need of it travels through Ray.
        if spec.dataset.stream:
            problems += _unread(str(spec.dataset.path))
        facts["data"] = {"source": spec.dataset.source, "rows": len(dataset.whole), "content_hash": dataset.facts["content_hash"]}
    except DatasetError as error:
        problems.append(f"dataset: {error}")
    return facts


def _unread(path: str) -> list[str]:
    """Return the nodes that do not find the driver's table where trials are to read it."""
    import ray

    from cluster.errors import one_line
    from cluster.targets import on_every_node

    expected = fingerprint(path)
    names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
    faults = []
    for node, answer in on_every_node(fingerprint, path, timeout_s=120.0).items():
        if isinstance(answer, Exception):
            faults.append(f"{names[node]}: dataset.path: {path} cannot be read there ({one_line(answer, 120)})")
        elif answer != expected:
            faults.append(f"{names[node]}: dataset.path: {path} is another table than the driver's; expected one that all nodes share")
    return faults


def fingerprint(path: str) -> str:
    """Return a hash over the names, sizes and last bytes (where Parquet and Arrow keep what they hold, and where) of a table's files; runs on a node."""
    import hashlib

    from pyarrow import fs

    from tuner.data.files import locate

    system, inner, is_folder = locate(path)
    files = system.get_file_info(fs.FileSelector(inner, recursive=True)) if is_folder else [system.get_file_info(inner)]
    seen = hashlib.sha256()
    for file in sorted((file for file in files if file.type == fs.FileType.File), key=lambda file: file.path):
        with system.open_input_file(file.path) as stream:
            stream.seek(max(0, file.size - 2**16))
            seen.update(f"{file.base_name} {file.size} ".encode() + stream.read())
    return seen.hexdigest()


def _text(facts: Mapping[str, Any]) -> str:
    gib = 2**30
    rows = [("node", "python", "ray", "tensorflow", "keras", "optuna", "CPUs", "GPUs", "memory free", "disk free", "clock", "folder", "threads")]
    for node in facts["nodes"]:
        versions = [node["versions"].get(name) or "missing" for name in ("python", "ray", "tensorflow", "keras", "optuna")]
        gpus = f"{node['ray_gpus']:g}" + (f" ({node['gpus']} usable)" if node["gpus"] is not None else "")
        memory = "" if node["memory_bytes"] is None else f"{node['memory_bytes'] / gib:.1f} GiB"
        clock = "" if node["skew_s"] is None else f"+-{node['skew_s']:.1f} s"
        folder = node["folder"]
        place = "" if folder is None else "not writable" if not folder["writable"] else "shared" if folder["shared"] else "its own"
        threads = " ".join(f"{name}={value}" for name, value in node["threads"].items()) or "free"
        rows.append((node["node"], *versions, f"{node['ray_cpus']:g}", gpus, memory, f"{node['disk_bytes'] / gib:.1f} GiB", clock, place, threads))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(0, facts["cluster"])
    if "trials_at_a_time" in facts:
        lines.append(f"{facts['trials_at_a_time']} trials at a time, {facts['per_trial']} each")
    if "data" in facts:
        lines.append(f"data: {facts['data']['rows']} rows for the search, hash {facts['data']['content_hash'][:12]}")
    lines += [f"warning: {text}" for text in facts["warnings"]] + [f"problem: {text}" for text in facts["problems"]]
    return "\n".join([*lines, "a sweep would fail" if facts["problems"] else "a sweep can run"])
