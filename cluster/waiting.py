"""Waits for machines that are not there yet: an autoscaler brings them once it knows what is asked for.

Owns how long to wait, and what the autoscaler is told. Must not know what will run.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cluster.errors import ClusterError
from cluster.resources import Allotment, Capacity, Resources, ResourcesSection
from cluster.targets import capacity_now

AUTOSCALER_S = 600.0
LOOK_EVERY_S = 1.0
# A head that has just started has not said yet whether it has an autoscaler: Ray's monitor writes its first word within ten seconds.
YOUNG_S = 20.0
# A hint to an autoscaler; its own limits decide.
MOST_ASKED_FOR = 256


def place(section: ResourcesSection, wait_s: float | None, *, tell: Callable[[str], object], interrupted: threading.Event) -> tuple[Allotment, Capacity]:
    """Return what each trial is given on the connected cluster, and what it offers, as soon as one trial fits.

    Args:
        section: what is asked for.
        wait_s: how long to wait until something fits; None: not at all, and ten minutes where the cluster has an autoscaler.
        tell: takes a line where there is something to wait for.
        interrupted: ends the waiting.

    Raises:
        ClusterError: nothing fits, or not in time; or the user asked to stop.
    """
    began, limit_s, said_s = time.monotonic(), 0.0, 0.0
    scales: bool | None = None
    asked = False
    try:
        while True:
            capacity = capacity_now()
            allotment = section.allot(capacity)
            try:
                allotment.fits(capacity)
            except ClusterError as error:
                if not asked:
                    scales = autoscales() if wait_s is None else True  # who says how long knows what for
                    limit_s = wait_s if wait_s is not None else YOUNG_S if scales is None else AUTOSCALER_S if scales else 0.0
                if time.monotonic() - began >= limit_s:
                    raise ClusterError(f"{error}{f'; waited {limit_s:g} s for other nodes' if limit_s else ''}") from None
                if limit_s != said_s:
                    tell(f"{error}; waiting {limit_s:g} s at most for nodes on which it fits")
                    said_s = limit_s
                if scales and not asked:
                    ask_for(allotment.every)
                    asked = True
            else:
                return allotment, capacity
            if interrupted.wait(LOOK_EVERY_S):
                raise ClusterError("interrupted while waiting for nodes; run the same command again to go on")
    finally:
        if asked:
            ask_for(())


def autoscales() -> bool | None:
    """Say whether the connected cluster has an autoscaler: its nodes are then of types that somebody has named. None: the head has not said yet."""
    import ray
    from ray.experimental.internal_kv import _internal_kv_get

    with suppress(Exception):  # what the head says of itself differs between versions of Ray, and none of it is promised
        reported = _internal_kv_get("__autoscaling_status")
        types = (json.loads(reported or b"{}").get("autoscaler_report") or {}).get("node_type_mapping")
        if types is None:
            from ray.autoscaler.v2.sdk import get_cluster_status

            status = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=5)
            types = {node.node_id: node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)}
        # A head without an autoscaler names each node's type by the node's id.
        named = any(name and name != f"node_{node}" for node, name in types.items())
        return named or (False if reported else None)
    return None


@contextmanager
def wanted(resources: Resources, count: int) -> Iterator[Callable[[], None]]:
    """Let the cluster's autoscaler, where it has one, bring nodes for so many at a time, until the end.

    Args:
        resources: what each of them asks for.
        count: how many; 0: nothing is asked for.

    Yields:
        A function to call often, which is quick: it asks as soon as the head says that it has an autoscaler.
    """
    began = time.monotonic()
    asked_at, asked, known = -math.inf, False, count == 0

    def look() -> None:
        nonlocal asked_at, asked, known
        if known or time.monotonic() - asked_at < LOOK_EVERY_S:
            return
        asked_at = time.monotonic()
        scales = autoscales()
        known = scales is not None or asked_at - began > YOUNG_S
        if scales:
            ask_for([resources] * min(count, MOST_ASKED_FOR))
            asked = True

    look()
    try:
        yield look
    finally:
        if asked:
            ask_for(())


def ask_for(every: tuple[Resources, ...] | list[Resources]) -> None:
    """Tell the autoscaler what has to fit at a time, in place of what it was told before."""
    from ray.autoscaler.sdk import request_resources

    labels = [dict(each.labels) for each in every] if any(each.labels for each in every) else None
    request_resources(bundles=[each.bundle() for each in every], bundle_label_selectors=labels)
