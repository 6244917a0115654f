"""Whole sweeps through the command line, over files as people bring them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from sklearn.linear_model import LogisticRegression

from tests.field.rig import rows
from tuner.spec import sweep_spec

PLAIN = """
[space]
name = "mlp"
depth = 1
width = 32
activation = "relu"
dropout = 0.0
dropout_input = 0.0
batch_normalization = false
regularizer = "none"
optimizer = "adam"
learning_rate = 0.01
schedule = "constant"
batch_size = 16
[search]
trials = 1
[training]
max_epochs = 12
[evaluation]
confirm = 0
seeds = 1
"""
EMBEDDED = """
import keras

def build(hp, problem):
    return keras.Sequential([
        keras.Input(problem.input_shape, dtype="int32"),
        keras.layers.Embedding(500, hp["width"]),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(problem.outputs, activation="softmax"),
    ])
"""


def tuner(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder; it must end well."""
    done = subprocess.run([sys.executable, "-m", "tuner", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_spec_saved_by_another_systems_editor_is_read(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(head + b'name = "bom"\r\nseed = 1\r\n[dataset]\r\nsource = "digits"\r\n')
    spec = sweep_spec.load(path)
    assert (spec.name, spec.seed, spec.dataset.source) == ("bom", 1, "digits")


def test_sweep_over_a_spreadsheets_table_predicts_its_own_file(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    kind = random.integers(0, 3, 450)
    values = np.stack([5 + kind * 0.8 + random.normal(0, 0.4, 450), 1.5 + kind * 1.9 + random.normal(0, 0.5, 450)], axis=1).round(2)
    text = rows(";length;width;kind", lambda row: f"{row};{values[row, 0]:.2f};{values[row, 1]:.2f};{'abc'[kind[row]]}".replace(".", ","), 450, "\r\n")
    (tmp_path / "petals.csv").write_bytes(text.encode())
    (tmp_path / "spec.toml").write_text('name = "petals"\n[dataset]\nsource = "table"\npath = "petals.csv"\ntarget = "kind"\n' + PLAIN)
    told = tuner(tmp_path, "run", "spec.toml").stderr
    assert "kind: 3 classes (a, b, c)" in told and "length: number, scaled to mean 0 and deviation 1 (written with a decimal comma" in told
    assert "column 1: left out" in told
    assert told.index("column 1: left out") < told.index("search: ")
    done = tuner(tmp_path, "predict", "sweeps/petals", "petals.csv", "-o", "out.csv")
    found = np.array(pyarrow.csv.read_csv(tmp_path / "out.csv")["predicted"].to_pylist())
    truth = np.array(list("abc"))[kind]
    expected = LogisticRegression(max_iter=1000).fit(values, truth).score(values, truth)
    assert (found == truth).mean() == pytest.approx(expected, abs=0.02) and expected > 0.95
    assert done.stderr == ""


def test_words_numbers_reach_an_embedding(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    x, good, bad = random.integers(1, 500, (1200, 40)), random.integers(1, 250, (1200, 40)), random.integers(250, 500, (1200, 40))
    y = random.integers(0, 2, 1200)
    x = np.where(random.random((1200, 40)) < 0.4, np.where(y[:, None] == 1, good, bad), x)
    np.savez(tmp_path / "reviews.npz", x=x.astype("int32"), y=y)
    (tmp_path / "embedded.py").write_text(EMBEDDED)
    space = PLAIN[PLAIN.index("[search]") :]
    spec = 'name = "tokens"\n[dataset]\nsource = "npz"\npath = "reviews.npz"\n[space]\nbuilder = "embedded:build"\n'
    spec += "width = 16\nlearning_rate = 0.01\nbatch_size = 32\n"
    (tmp_path / "spec.toml").write_text(spec + space)
    done = tuner(tmp_path, "run", "spec.toml")
    assert "x: numbers, left as they are (whole numbers from 1 to 499 in any order, as the numbers of words are" in done.stderr
    counts = np.stack([np.bincount(row, minlength=500) for row in x])
    expected = LogisticRegression(max_iter=1000).fit(counts[:900], y[:900]).score(counts[900:], y[900:])
    accuracy = float(next(line for line in done.stdout.splitlines() if line.startswith("test_accuracy")).split()[1].rstrip(";"))
    assert accuracy > 0.97 and accuracy > expected - 0.02
