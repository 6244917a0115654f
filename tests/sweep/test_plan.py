"""`tuner plan` through a real Ray, on tiny networks and data."""

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sweep.test_journey import Told
from tuner.errors import SpecError
from tuner.results import evaluate
from tuner.spec import sweep_spec as specs
from tuner.sweep import plan
from tuner.sweep.given import Given
from tuner.training.trial import TrialContext

# One kind cannot be built at all, one not where it is large.
BUILDERS = """
import keras

def build_model(configuration, problem):
    if configuration["kind"] == "raises" or (configuration["kind"] == "fragile" and configuration["size"] > 20):
        raise RuntimeError(f"{configuration['kind']} of size {configuration['size']} is wrong")
    model = keras.Sequential([
        keras.Input(problem.input_shape),
        keras.layers.Dense(configuration["size"], activation="relu"),
        keras.layers.Dense(problem.outputs, activation="softmax"),
    ])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def planned(folder: Path, address: str, blobs: Path, **sections: Any) -> dict[str, Any]:
    (folder / "plan_networks.py").write_text(BUILDERS)
    values: dict[str, Any] = {
        "name": "p",
        "folder": str(folder / "sweep"),
        "dataset": {"source": "npz", "path": str(blobs)},
        "space": {"builder": "plan_networks:build_model", "kind": ["learns", "fragile", "raises"], "size": {"low": 2, "high": 30}},
        "search": {"sampler": "random", "trials": 6},
        "scheduler": {"name": "asha", "grace_period": 1},
        "training": {"max_epochs": 4},
        "cluster": {"target": "address", "address": address},
    }
    spec = specs.check({**values, **sections})
    return plan.make_plan(spec, measure=3, price_per_hour=36.0, view=Told(), interrupted=threading.Event(), given=Given((str(folder),)))


def test_plan_names_impossible_branches_and_forecasts_the_rest_without_writing_anything(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    found = planned(tmp_path, ray_address, blobs)
    impossible = {each["name"]: each for each in found["branches"]["impossible"]}
    assert set(impossible) == {"kind = 'raises'", "kind = 'fragile'"}
    assert impossible["kind = 'raises'"]["wholly"]
    assert not impossible["kind = 'fragile'"]["wholly"]
    assert "fragile of size 30 is wrong" in impossible["kind = 'fragile'"]["reason"]
    assert found["branches"]["built"] == 2
    # Four inputs, three classes: (4 + 1) * size + (size + 1) * 3.
    assert found["parameters"] == {"low": 19, "high": 243}
    assert all(each["epoch_s"] > 0 for each in found["measured"])
    assert len(found["measured"]) + len(found["branches"]["failed_draws"]) == 3
    search = found["stages"][0]
    assert search["name"] == "search"
    assert 6 <= search["epochs"]["low"] <= search["epochs"]["high"] <= 24
    assert found["money"]["low"] == pytest.approx(found["total"]["seconds"]["low"] / 100)
    assert not (tmp_path / "sweep").exists()

    assert found["hint"] is None, "a trial has one CPU"
    shown = plan.text(found)
    assert "objective   val_accuracy: higher is better" in shown.splitlines()
    assert max(len(line) for line in shown.splitlines() if not line.startswith(("  {", "impossible", "failed"))) <= 110
    assert "impossible when large: kind = 'fragile'" in shown
    assert "at 36 per hour" in shown


@pytest.mark.parametrize(("faster", "useful"), [(1.1, False), (1.9, True)])
def test_plan_says_in_a_line_where_a_trial_has_more_cpus_than_its_network_can_use(
    faster: float, useful: bool, tmp_path: Path, blobs: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = evaluate.probe

    # How fast this machine is must not matter: an epoch that was trained with two CPUs counts as so many times as fast.
    def probe(context: TrialContext, jobs: Sequence[evaluate.Job], *, workers: evaluate.Workers) -> Iterator[tuple[int, evaluate.Probed | str]]:
        for index, found in tried(context, jobs, workers=workers):
            assert isinstance(found, evaluate.Probed)
            yield index, replace(found, seconds=tuple(2.0 / (faster if workers.allotment.usual.cpus == 2 else 1.0) for _ in found.seconds))

    monkeypatch.setattr(evaluate, "probe", probe)
    space = {"builder": "plan_networks:build_model", "kind": "learns", "size": 3}
    found = planned(tmp_path, ray_address, blobs, space=space, resources={"cpus": 2})
    if useful:
        assert found["hint"] is None
        return
    line = r"resources\.cpus: 2 CPUs train the slowest network that was measured 1\.1 times as fast .* with 1 per trial, 2 times as many trials run at a time"
    assert re.fullmatch(line, found["hint"])
    assert found["hint"] in plan.text(found).splitlines()


def test_budget_that_does_not_pay_for_one_full_training_is_refused(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    space = {"builder": "plan_networks:build_model", "kind": "learns", "size": 3}
    with pytest.raises(SpecError, match=r"search.seconds: got 0.001; expected at least \d+, one full training of the fastest network"):
        planned(tmp_path, ray_address, blobs, search={"sampler": "random", "seconds": 0.001}, space=space)


def test_space_that_cannot_be_built_at_all_is_refused(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    with pytest.raises(SpecError, match=r"fails on the first batch with its only configuration: RuntimeError: raises of size 3 is wrong \(plan_networks"):
        planned(tmp_path, ray_address, blobs, space={"builder": "plan_networks:build_model", "kind": "raises", "size": 3})
