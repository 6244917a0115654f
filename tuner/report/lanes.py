"""Names for workers: which node, which GPU, which of its places, instead of addresses and process ids.

A worker that takes the place of one that ended gets its name, so that a timeline has as many lanes as the sweep had places. Must not know any format.
"""

from collections import defaultdict
from collections.abc import Sequence

from tuner.results.leaderboard import TrialRecord


def named(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Return worker -> name, such as `worker 1`, `GPU 0` or `node 2, GPU 0, worker 1`, for workers recorded as `host/actor` or `host/actor/gpu 0`."""
    spans: dict[str, tuple[float, float]] = {}
    for record in sorted(records, key=lambda record: record.number):
        if record.worker:
            start = record.started_at or 0.0
            first, last = spans.get(record.worker, (start, start))
            spans[record.worker] = min(first, start), max(last, start + (record.seconds or 0.0))
    ordered = sorted(spans, key=lambda worker: spans[worker][0])
    hosts = list(dict.fromkeys(_host(worker) for worker in ordered))
    groups: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for worker in ordered:
        lanes = groups[_host(worker), _gpu(worker)]
        # `seconds` leaves out what passes between epochs, so a lane is free once its trials' work is done.
        free = next((lane for lane in lanes if spans[lane[-1]][1] <= spans[worker][0]), None)
        if free is None:
            lanes.append([worker])
        else:
            free.append(worker)
    names: dict[str, str] = {}
    for (host, gpu), lanes in groups.items():
        for index, lane in enumerate(lanes, start=1):
            parts = [f"node {hosts.index(host) + 1}"] if len(hosts) > 1 else []
            parts += [gpu] if gpu else []
            parts += [f"worker {index}"] if not gpu or len(lanes) > 1 else []
            names |= dict.fromkeys(lane, ", ".join(parts))
    return names


def _host(worker: str) -> str:
    return worker.partition("/")[0]


def _gpu(worker: str) -> str:
    numbers = worker.partition("/gpu ")[2]
    return f"GPU {numbers}" if numbers else ""
