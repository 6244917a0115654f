"""Runs on a cluster as the first step of a job, alone: checks what the cluster has installed, then becomes `tuner run`.

Needs nothing but Python until the check is over, and is shipped as a single file with `job.json`: the spec's name, overrides, the sweep's folder, and the
versions of whoever submitted. Run again, it goes on where the sweep stopped.
"""

import importlib.metadata
import json
import os
import platform
import runpy
import sys

# A driver joins only a cluster of its own version of Ray, and a sweep goes on only under the Tuner that began it; of all others, 1.2.3 and 1.2.4 are alike.
EXACT = ("ray", "keras-sweep-tuner")


def differences(expected: dict[str, str]) -> list[str]:
    """Return what is installed otherwise here, one `package: has x, expected y` each.

    Args:
        expected: package -> version; `python` is Python itself.
    """
    found = []
    for name, wanted in expected.items():
        try:
            version = platform.python_version() if name == "python" else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name}: missing, expected {wanted}")
            continue
        parts = None if name in EXACT else 2
        if version.split(".")[:parts] != wanted.split(".")[:parts]:
            found.append(f"{name}: has {version}, expected {wanted}")
    return found


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
    runpy.run_module("tuner", run_name="__main__")


if __name__ == "__main__":
    main()
