from pathlib import Path

import numpy as np
import pytest

from tuner.data.arrays import archives
from tuner.data.dataset import DatasetSection, load, read_for_prediction
from tuner.data.features import Features
from tuner.errors import DatasetError


def images(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (60, 4, 4)).astype(np.uint8)
    np.savez(path, x_train=x, y_train=(np.arange(60) % 10).astype(np.uint8), x_test=x[:20], y_test=(np.arange(20) % 10).astype(np.uint8))
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dta.npz", "no such file or folder; did you mean 'data.npz'"),
        ("nowhere/data.npz", "there is no folder .*nowhere either"),
        ("quite-another-name", "holds cut.npz, data.npz, folder, objects.npz, words.npz"),
        ("folder", "is a folder; expected an .npz file"),
        ("words.npz", "is no NumPy archive"),
        ("cut.npz", "is no NumPy archive, or is cut short"),
        ("objects.npz", "the array 'y' holds Python objects"),
    ],
)
def test_archive_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    whole = images(tmp_path / "data.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.npz").write_text("x,y\n1,2\n")
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "objects.npz", x=np.zeros((2, 2)), y=np.array([1, "a"], dtype=object))
    with pytest.raises(DatasetError, match=message) as caught:
        load(DatasetSection(source="npz", path=str(tmp_path / name)), 0)
    assert "\n" not in str(caught.value)


def test_no_damage_to_an_archive_goes_unnoticed_or_raises_anything_else(tmp_path: Path) -> None:
    whole = images(tmp_path / "data.npz").read_bytes()
    right = load(DatasetSection(source="npz", path=str(tmp_path / "data.npz")), 0)[0].facts["content_hash"]
    random = np.random.default_rng(0)
    section = DatasetSection(source="npz", path=str(tmp_path / "bad.npz"))
    refused = 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        (tmp_path / "bad.npz").write_bytes(damaged)
        try:
            found = load(section, 0)[0].facts["content_hash"]
        except DatasetError as error:
            assert "bad.npz" in str(error)
            refused += 1
        else:
            assert found == right
    assert refused > 80


def test_examples_to_predict_need_the_array_x(tmp_path: Path) -> None:
    images(tmp_path / "data.npz")
    with pytest.raises(DatasetError, match="no array 'x'; expected one of: x_test, x_train, y_test, y_train"):
        read_for_prediction(tmp_path / "data.npz", Features((4, 4), "uint8"))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_for_prediction(tmp_path / "cut.npy", Features((4, 4), "uint8"))


# ---- Keras's own data sets


@pytest.mark.parametrize(("source", "first"), [("mnist", "0"), ("fashion_mnist", "T-shirt/top"), ("cifar10", "airplane")])
def test_keras_data_set_is_read_from_keras_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, first: str) -> None:
    images(tmp_path / "datasets" / f"{source}.npz")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(archives, "FETCH", "raise SystemExit('nothing was to be downloaded')")
    dataset, test = load(DatasetSection(source=source), 0)
    assert (len(dataset.x), test.rows, dataset.classes[0], dataset.outputs) == (60, 20, first, 10)


def test_download_runs_in_a_process_of_its_own_and_leaves_a_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    # Stands in for Keras: the same loader interface, no network.
    (tmp_path / "keras.py").write_text(
        "import numpy as np\n"
        "class datasets:\n"
        "    class cifar10:\n"
        "        def load_data():\n"
        "            x = np.zeros((60, 2, 2, 3), np.uint8)\n"
        "            y = (np.arange(60) % 10).astype(np.uint8)[:, None]\n"
        "            return (x, y), (x[:10], y[:10])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    dataset, test = load(DatasetSection(source="cifar10"), 0)
    assert (dataset.input_shape, test.rows) == ((2, 2, 3), 10)
    assert [path.name for path in (tmp_path / "home" / "datasets").iterdir()] == ["cifar10.npz"]


def test_without_network_one_line_says_how_to_bring_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # A proxy that refuses: Keras's own loader fails as it does on a machine without network.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(DatasetError, match=r'fashion_mnist is not in .* and could not be downloaded \(URL fetch failure.*\); bring .*source = "npz"') as caught:
        load(DatasetSection(source="fashion_mnist"), 0)
    assert "\n" not in str(caught.value)


def test_download_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(archives, "FETCH", "import time; time.sleep(60)")
    monkeypatch.setattr(archives, "FETCH_TIMEOUT_S", 0.2)
    with pytest.raises(DatasetError, match=r"no end after 0.2 s"):
        load(DatasetSection(source="mnist"), 0)
