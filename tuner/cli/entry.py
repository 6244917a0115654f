"""Runs on a cluster as the first step of a job, alone: checks what the cluster has installed, then becomes `tuner run`.

Needs nothing but Python until the check is over, and is shipped as a single file with `job.json`: the spec's name, overrides, the sweep's folder, and the
versions of whoever submitted. Run again, it goes on where the sweep stopped.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import runpy
import sys

# In the sweep's folder: what was refused, and why.
REFUSED = "refused.json"
# A driver joins only a cluster of its own version of Ray, and a sweep goes on only under the Tuner that began it; of all others, 1.2.3 and 1.2.4 are alike.
EXACT = ("ray", "keras-sweep-tuner")


def differences(expected: dict[str, str]) -> list[str]:
    """Return what is installed otherwise here, one `package: has x, expected y` each.

    Args:
        expected: package -> version; `python` is Python itself.
    """
    lines = []
    for name, wanted in expected.items():
        try:
            version = platform.python_version() if name == "python" else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name}: missing, expected {wanted}")
            continue
        parts = None if name in EXACT else 2
        if version.split(".")[:parts] != wanted.split(".")[:parts]:
            lines.append(f"{name}: has {version}, expected {wanted}")
    return lines


def main() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    problems = differences(job["versions"])
    if problems:
        print(f"tuner: the Python of this cluster ({sys.executable}) differs from the submitter's: {'; '.join(problems)}", file=sys.stderr)
        raise SystemExit(2)
    folder = os.path.expanduser(job["folder"])
    place = '{target="address", address="auto"' + ("}" if job["wait_s"] is None else f", wait_s={job['wait_s']!r}}}")
    sys.argv = ["tuner", "run", os.path.join(here, job["spec"])]
    sys.argv += ["--again-by", job.get("again") or "submit the sweep again to go on"]
    for override in [*job["overrides"], f"cluster={place}", f"folder={json.dumps(folder)}"]:
        sys.argv += ["--set", override]
    sign = refused_before(here, job, folder)
    try:
        runpy.run_module("tuner", run_name="__main__")
    except SystemExit as end:
        # The author of the spec or the owner of the data must act (ValueErrors, see tuner/errors.py): nothing of that changes on another cluster.
        if end.code == 2 and isinstance(end.__context__, ValueError):
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, REFUSED), "w", encoding="utf-8") as file:
                json.dump({"sign": sign, "why": str(end.__context__)}, file)
        raise


def refused_before(here: str, job: dict, folder: str) -> str:
    """End at once where this very job has been refused for its input: it is run again by those who count that a failure like any other.

    Args:
        here: the folder of the job's files.
        job: the content of job.json.
        folder: the sweep's.

    Returns:
        A hash of the job and its spec.
    """
    with open(os.path.join(here, job["spec"]), "rb") as file:
        sign = hashlib.sha256(json.dumps(job, sort_keys=True).encode() + file.read()).hexdigest()
    path = os.path.join(folder, REFUSED)
    try:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    except (OSError, ValueError):
        return sign
    if before.get("sign") == sign:
        print(f"tuner: refused before, and not tried again: {before.get('why')} (remove {path} to try it all the same)", file=sys.stderr)
        raise SystemExit(2)
    os.remove(path)
    return sign


if __name__ == "__main__":
    main()
