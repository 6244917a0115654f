"""Rounds in a row, and their summary.

    python -m tests.benchmarks.chaos --rounds 25 --seed 100 --out results.jsonl     appends a line per round, then prints what the file holds
    python -m tests.benchmarks.chaos --stack stock --rounds 20 --out results.jsonl  the same kills on Ray Tune with Optuna
    python -m tests.benchmarks.chaos --rounds 0 --out results.jsonl                 the summary alone

After each round the record is checked: every trial number is there once, none ended twice, no epoch that was told is lost or changed, at most one epoch
per death is trained again, the budgets are exact, the leaderboard equals a recount from the journal, and nothing is left behind. Linux only.
"""

import argparse
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# Before Ray is imported anywhere: it reads the mode once.
os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "TF_CPP_MIN_LOG_LEVEL": "3"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each further one has the next")
    parser.add_argument("--stack", choices=["tuner", "stock"], default="tuner")
    parser.add_argument("--own", action="store_true", help="all in Tuner's own Ray; else one in ten")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further round after so long")
    parser.add_argument("--out", type=Path, default=Path("chaos.jsonl"))
    arguments = parser.parse_args()
    if arguments.rounds:
        _play(arguments)
    print(summary([json.loads(line) for line in arguments.out.read_text().splitlines()]))


def _play(arguments: argparse.Namespace) -> None:
    import ray.tune.search.optuna  # noqa: F401  # loaded once, before drivers are forked

    import tuner.cli.main
    import tuner.sweep.journey  # noqa: F401
    from tests.benchmarks.chaos.play import play
    from tests.benchmarks.chaos.round import cluster

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the cluster ends with this process
    ends = time.monotonic() + arguments.seconds
    with cluster() as shared:
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            if time.monotonic() > ends:
                break
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="round-", ignore_cleanup_errors=True) as folder:
                found = play(Path(folder), shared, seed, stack=arguments.stack, own=arguments.own or None)
            line = {
                "stack": arguments.stack,
                "seed": seed,
                "own": found.own,
                "events": found.events,
                "runs": found.runs,
                "told": len(found.told),
                "again": sum(len(values) - 1 for values in found.told.values()),
                "seconds": round(time.monotonic() - began, 1),
                "violations": found.violations,
                "other": found.other[-20:] if found.violations else [],
            }
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{arguments.stack} {seed}: {', '.join(found.events) or 'nothing'}; {line['seconds']} s; {found.violations or 'all true'}", flush=True)


def summary(lines: list[dict]) -> str:
    """Return a table of all rounds, the newest of each stack and seed."""
    from tests.benchmarks.chaos.checks import KINDS

    newest = {(line["stack"], line["seed"]): line for line in lines}
    stacks = sorted({stack for stack, _ in newest}, reverse=True)
    rounds = {stack: [line for (of, _), line in newest.items() if of == stack] for stack in stacks}
    rows: list[tuple[str, list]] = [
        ("rounds", [len(rounds[stack]) for stack in stacks]),
        ("- in a Ray of its own", [sum(line["own"] for line in rounds[stack]) for stack in stacks]),
        ("runs of a driver", [sum(line["runs"] for line in rounds[stack]) for stack in stacks]),
        ("rounds with a violation", [sum(bool(line["violations"]) for line in rounds[stack]) for stack in stacks]),
        ("violations", [sum(len(line["violations"]) for line in rounds[stack]) for stack in stacks]),
        *((f"- {kind}", [sum(of == kind for line in rounds[stack] for of, _ in line["violations"]) for stack in stacks]) for kind in KINDS),
        ("epochs told", [sum(line["told"] for line in rounds[stack]) for stack in stacks]),
        ("epochs trained again", [sum(line["again"] for line in rounds[stack]) for stack in stacks]),
        ("median seconds of a round", [sorted(line["seconds"] for line in rounds[stack])[len(rounds[stack]) // 2] for stack in stacks]),
    ]
    hits = {stack: Counter(event for line in rounds[stack] for event in line["events"]) for stack in stacks}
    rows += [(f"event: {event}", [hits[stack][event] for stack in stacks]) for event in sorted({event for stack in stacks for event in hits[stack]})]
    return "\n".join([f"| | {' | '.join(stacks)} |", f"|---|{'---|' * len(stacks)}", *(f"| {name} | {' | '.join(map(str, cells))} |" for name, cells in rows)])


if __name__ == "__main__":
    main()
