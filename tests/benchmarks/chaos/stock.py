"""The same kills on the stock stack: Ray Tune's Tuner with OptunaSearch and ASHAScheduler, gone on with by Tuner.restore, as its documentation says.

Its trials train nothing: they sleep, keep a checkpoint after every epoch and report a value that follows from trial and epoch, so that nothing but the
bookkeeping can fail. Each trial may fail twice (`max_failures=2`). Must not know Tuner.
"""

import contextlib
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.chaos import checks
from tests.benchmarks.chaos.events import kill, kill_driver, workers
from tests.benchmarks.chaos.round import EPOCHS, TRIALS, Round

NAME = "stock"
# Without a watchdog, a hung epoch of it never ends.
RUN_LIMIT_S = 60.0


def drive(folder: Path, address: str, hanging: bool) -> None:
    """Run or restore the sweep in a folder until it is done; print each result, and all of them in the end."""
    import optuna
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ.update({"RAY_AIR_NEW_OUTPUT": "0", "RAY_CHDIR_TO_TRIAL_DIR": "0"})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it knows Ctrl-C only
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    print(json.dumps({"event": "stage", "name": "data"}), flush=True)  # from here on it can be hit

    class Tell(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            print(json.dumps({"event": "epoch", "trial": trial.trial_id, "epoch": result["epoch"], "value": result["val_accuracy"]}), flush=True)

    def train(config):
        start = 0
        if checkpoint := tune.get_checkpoint():
            with checkpoint.as_directory() as place:
                start = int((Path(place) / "epoch").read_text())
        for epoch in range(start + 1, EPOCHS + 1):
            time.sleep(1000.0 if config["kind"] == "hangs" else 0.4)
            with tempfile.TemporaryDirectory() as place:
                (Path(place) / "epoch").write_text(str(epoch))
                value = 1 - math.exp(-epoch * config["rate"] * config["units"])
                tune.report({"epoch": epoch, "val_accuracy": value}, checkpoint=tune.Checkpoint.from_directory(place))

    place = folder / "sweep" / NAME
    if tune.Tuner.can_restore(str(place)):
        tuner = tune.Tuner.restore(str(place), train, resume_unfinished=True, resume_errored=True)
    else:
        kinds = ["learns", "learns too", *(["hangs"] if hanging else [])]
        space = {"kind": tune.choice(kinds), "units": tune.choice([4, 8, 16]), "rate": tune.loguniform(0.01, 0.3)}
        tuner = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="val_accuracy",
                mode="max",
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=1),
                num_samples=TRIALS,
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(
                name=NAME, storage_path=str(folder / "sweep"), verbose=0, callbacks=[Tell()], failure_config=tune.FailureConfig(max_failures=2)
            ),
        )
    grid = tuner.fit()
    found = []
    for result in grid:
        table = result.metrics_dataframe
        values = {} if table is None else {int(epoch): value for epoch, value in zip(table["epoch"], table["val_accuracy"], strict=True)}
        error = None if result.error is None else str(result.error).strip().splitlines()[-1][:200]
        found.append({"id": (result.metrics or {}).get("trial_id"), "error": error, "values": values})
    (folder / "found.json").write_text(json.dumps(found))
    print(json.dumps({"event": "done"}), flush=True)
    ray.shutdown()


def runs(round: Round, hanging: bool):
    """Return what a driver does; it ends with 130 where it was interrupted, as Tuner's does."""

    def run() -> None:
        (round.folder / "found.json").unlink(missing_ok=True)
        try:
            drive(round.folder, round.address, hanging)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGTERM)

    return run


def check(round: Round) -> None:
    """Compare what the last run gives out with what the drivers told, and with what was asked for."""
    found = json.loads((round.folder / "found.json").read_text())
    by_id = {result["id"]: result for result in found}
    if len(found) != TRIALS:
        round.wrong(checks.MISSING, f"{len(found)} trials; the budget is {TRIALS}")
    forgotten = sorted({trial for trial, _ in round.told} - set(by_id))
    if forgotten:
        round.wrong(checks.MISSING, f"{len(forgotten)} trials that reported are in no result")
    for result in found:
        if result["error"] is not None:
            round.wrong(checks.FAILED, f"trial {result['id']}: {result['error']}")
        elif not result["values"]:
            round.wrong(checks.OPEN, f"trial {result['id']} has no result")
    for (trial, epoch), values in round.told.items():
        kept = by_id.get(trial, {"values": {}})["values"].get(str(epoch))
        if trial in by_id and (kept is None or min(abs(kept - value) for value in values) > 1e-6):
            round.wrong(checks.LOST, f"trial {trial}: epoch {epoch} was told as {values}, and is {kept} in the results")
    checks.check_again(round)


def _states(round: Round) -> list[Path]:
    return sorted((round.folder / "sweep" / NAME).glob("experiment_state-*.json"))


def tear_state(round: Round) -> bool:
    """Cut the newest of Ray's snapshots in the middle of a write, as a crash does."""
    states = _states(round)
    if not states:
        return False
    kill_driver(round)
    round.driver.wait()
    content = states[-1].read_bytes()
    states[-1].write_bytes(content[: round.draw.randrange(1, len(content))])
    return True


def refuse_snapshots(round: Round) -> bool:
    """The driver's files may not grow for some seconds."""
    before = resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, (1000, before[1]))
    time.sleep(round.draw.uniform(1.0, 4.0))
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, before)
    return True


def refuse_folder(round: Round) -> bool:
    """Where everything lies, there is no folder for some seconds."""
    place, aside = round.folder / "sweep" / NAME, round.folder / "aside"
    if not place.is_dir():
        return False
    place.rename(aside)
    place.write_text("")
    time.sleep(round.draw.uniform(1.0, 4.0))
    place.unlink(missing_ok=True)
    aside.rename(place)
    round.excused += EPOCHS
    return True


def kill_worker(round: Round) -> bool:
    """A trial is a Ray worker of its own here."""
    return kill(round, workers(round, "ray::ImplicitFunc"))


EVENTS = {"journal's tail torn": tear_state, "journal refused": refuse_snapshots, "checkpoints refused": refuse_folder, "Ray worker killed": kill_worker}
