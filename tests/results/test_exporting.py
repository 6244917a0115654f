"""The saved model in other formats says what it says in its own, on rows made up from its card, and the card says how nearly."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tuner.data import dataset as data
from tuner.data.dataset import Fold
from tuner.errors import SweepError
from tuner.results import exporting
from tuner.results.card import read_card, rewrite
from tuner.results.exporting import FORMATS, export, made_up_rows
from tuner.spec import sweep_spec as specs
from tuner.training.trainer import Training, TrainingConfig
from tuner.training.whole import metadata_of

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep on a table with words and holes, whose model takes rows as they are: that of the golden record, with other weights."""
    folder = tmp_path_factory.mktemp("exporting") / "table"
    shutil.copytree(GOLDEN / "table", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        spec = specs.load(folder / "spec.toml")
        read, _ = data.load(spec.dataset, spec.seed)
    card = read_card(folder / "sweep")
    training = Training(TrainingConfig.from_json(card["recipe"]), read.pool, [Fold(None, read.whole, read.scalings(None))])
    training.export(folder / "sweep" / "model.keras", read.features.to_json())
    metadata = metadata_of(folder / "sweep" / "model.keras")
    rewrite(folder / "sweep", {**card, "whole": True, "inputs": metadata["inputs"], "features": metadata["features"], "scaling": metadata["scaling"]})
    return folder / "sweep"


def test_rows_made_up_have_every_word_and_lie_where_the_rows_to_train_on_do(table: Path) -> None:
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(table / "model.keras")
    card = read_card(table)
    names = [each.name for each in keras.tree.flatten(model._inputs_struct)]
    rows = dict(zip(names, made_up_rows(card, keras.tree.flatten(model._inputs_struct)), strict=True))
    rain = card["features"]["columns"][0]["name"]
    center, factor = card["scaling"]["center"][0], card["scaling"]["factor"][0]
    assert abs(rows[rain].mean() - center) < 0.5 / factor and 0.7 < rows[rain].std() * factor < 1.3
    words = next(column for column in card["features"]["columns"] if column["kind"] == "category")
    assert set(rows[words["name"]].ravel()) == {*words["categories"], "", "never seen"}
    answers = np.asarray(model({name: tf.constant(each) for name, each in rows.items()}))
    assert np.isfinite(answers).all() and np.ptp(answers) > 0


def test_each_format_says_what_the_model_says_and_the_card_says_so(table: Path) -> None:
    before = read_card(table)
    for form in ("saved_model", "litert", "keras"):
        said = export(table, form)
        assert (table / said["file"]).exists()
        assert sorted(said["inputs"].values()) == sorted(column["name"] for column in before["features"]["columns"])
        assert said["rows"] == 64 and said["difference"] < 1e-6 * 6000, f"{form}: the answers are near 6000"
    card = read_card(table)
    assert set(card["exports"]) == {"saved_model", "litert", "keras"}
    assert {name: value for name, value in card.items() if name != "exports"} == {name: value for name, value in before.items() if name != "exports"}
    assert "`litert` | exported/model.tflite" in (table / "MODEL_CARD.md").read_text()
    assert sorted(path.name for path in (table / "exported").iterdir()) == ["model.keras", "model.tflite", "saved_model"]


def test_missing_packages_and_what_a_format_cannot_hold_are_told_in_a_line(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SweepError, match=r"onnx: needs tf2onnx and onnx and onnxruntime; pip install 'keras-sweep-tuner\[onnx\]'"):
        export(table, "onnx")

    def refuse(path: Path) -> None:
        raise RuntimeError("no such operation\nsecond line")

    monkeypatch.setitem(exporting.FORMATS, "keras", exporting.Format("refused.keras", "", refuse))  # type: ignore[arg-type]
    with pytest.raises(SweepError, match=r"keras: cannot hold this model \(RuntimeError: no such operation\)"):
        export(table, "keras")
    assert not [path for path in (table / "exported").iterdir() if "refused" in path.name]


def test_command_offers_every_format() -> None:
    from tuner.cli.main import cli

    (form,) = [option for option in cli.commands["export"].params if option.name == "form"]
    assert set(form.type.choices) == set(FORMATS)  # type: ignore[attr-defined]
