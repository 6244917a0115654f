"""Images in class folders: what is read, in which order, and what is told of files that cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuner.data.arrays import images
from tuner.data.dataset import DatasetSection, Features, load, read_for_prediction
from tuner.errors import DatasetError

SIZE = (6, 5)


def picture(seed: int, size: tuple[int, int] = SIZE, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of class folders."""

    def write(root: str = "", count: int = 6, classes: tuple[str, ...] = ("cat", "dog"), ending: str = "png") -> Path:
        for number, name in enumerate(classes):
            place = tmp_path / "pictures" / root / name
            place.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(picture(100 * number + index)).save(place / f"{index:02d}.{ending}")
        return tmp_path / "pictures"

    return write


def loaded(path: Path, **section: Any) -> Any:
    return load(DatasetSection(source="images", path=str(path), **section), 0)


def test_class_folders_become_bytes_and_classes(folder: Callable[..., Path]) -> None:
    dataset, test = loaded(folder(), test=2, validation=2)
    assert (dataset.task, dataset.classes, dataset.x.shape, dataset.x.dtype) == ("classification", ("cat", "dog"), (10, *SIZE, 3), np.uint8)
    assert test.rows == 2
    for row, x, y in zip(dataset.rows, dataset.x, dataset.y, strict=True):
        assert y == row // 6
        assert np.array_equal(x, picture(100 * y + row % 6))
    assert dataset.scale == "unit"


@pytest.mark.parametrize("ending", ["png", "gif", "bmp", "jpg"])
def test_usual_formats_are_read(folder: Callable[..., Path], ending: str) -> None:
    dataset, _ = loaded(folder(ending=ending))
    assert dataset.x.shape[1:] == (*SIZE, 3)
    if ending in ("png", "bmp"):
        assert np.array_equal(dataset.x[0], picture(100 * dataset.y[0] + dataset.rows[0] % 6))


def test_folders_of_splits_are_kept_as_they_are(folder: Callable[..., Path]) -> None:
    folder("train")
    folder("val", 3)
    path = folder("test", 4)
    dataset, test = loaded(path)
    (fold,) = dataset.folds
    assert (len(fold.train), len(fold.validation), test.rows) == (12, 6, 8)
    assert dataset.facts["validation_given"] and dataset.facts["test_given"]


def test_order_in_which_files_were_written_changes_nothing(folder: Callable[..., Path], tmp_path: Path) -> None:
    path = folder()
    before, _ = loaded(path)
    file = path / "cat" / "00.png"
    content = file.read_bytes()
    file.unlink()
    (path / "cat" / ".hidden.png").write_bytes(b"nothing")
    (path / "cat" / "notes.txt").write_text("nothing")
    (path / ".cache").mkdir()
    file.write_bytes(content)
    after, _ = loaded(path)
    assert before.facts["content_hash"] == after.facts["content_hash"]
    Image.fromarray(picture(7)).save(file)
    assert loaded(path)[0].facts["content_hash"] != before.facts["content_hash"]


def test_sizes_and_colours_are_brought_to_what_is_asked(folder: Callable[..., Path]) -> None:
    path = folder()
    Image.fromarray(picture(1, (20, 30))).save(path / "cat" / "large.png")
    with pytest.raises(DatasetError, match=r"has 6 x 5 pixels, .*large\.png 20 x 30; expected dataset\.image_size"):
        loaded(path)
    assert loaded(path, image_size=[8, 4])[0].x.shape[1:] == (8, 4, 3)
    assert loaded(path, image_size=8, color_mode="grayscale")[0].x.shape[1:] == (8, 8, 1)
    assert loaded(path, image_size=8, color_mode="rgba")[0].x.shape[1:] == (8, 8, 4)


def test_sixteen_bits_become_the_upper_eight(tmp_path: Path) -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    x, fine = images.decode([tmp_path / "deep.png"], images.Look(None, 1))
    assert fine.all()
    assert x[0, 0, :, 0].tolist() == [0, 1, 128, 255]


def test_broken_files_are_named_or_left_out_and_counted(folder: Callable[..., Path]) -> None:
    path = folder()
    whole = (path / "dog" / "03.png").read_bytes()
    (path / "dog" / "03.png").write_bytes(whole[: len(whole) // 2])
    (path / "cat" / "empty.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"2 of 13 cannot be read: .*empty\.jpg .*dataset\.skip_broken = true") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)
    dataset, test = loaded(path, skip_broken=True)
    assert len(dataset.rows) + test.rows == 11
    told = [each for each in dataset.facts["decisions"] if each["name"] == "images"]
    assert told[0]["treatment"] == "2 left out that cannot be decoded: cat/empty.jpg, dog/03.png"


def test_one_hot_classes_on_request(folder: Callable[..., Path]) -> None:
    dataset, _ = loaded(folder(), one_hot=True)
    assert (dataset.task, dataset.y.shape, dataset.classes) == ("classification", (10, 2), ("cat", "dog"))


def test_images_beyond_memory_are_told_with_their_sizes(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "free_bytes", lambda: 1000)
    with pytest.raises(DatasetError, match=r"12 images of 6 x 5 x 3 take 0\.0 GB, more than 40% of the 0\.0 GB that are left"):
        loaded(folder())


def test_images_are_predicted_from_a_folder_or_a_file_at_the_size_of_training(folder: Callable[..., Path], tmp_path: Path) -> None:
    path = folder()
    Image.fromarray(picture(1, (20, 30))).save(path / "cat" / "large.png")
    features = Features((*SIZE, 3), "uint8")
    x = read_for_prediction(path, features)
    assert x.shape == (13, *SIZE, 3)
    assert np.array_equal(x[0], picture(0))
    assert read_for_prediction(path / "dog" / "01.png", features).shape == (1, *SIZE, 3)
    with pytest.raises(DatasetError, match=r"are images; expected examples of shape \(4,\)"):
        read_for_prediction(path, Features((4,), "float32"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: [file.unlink() for file in path.rglob("*.png")], "holds no image"),
        (lambda path: (path / "dog").rename(path.parent / "elsewhere"), "holds the folder 'cat' alone"),
        (lambda path: ((path / "train").mkdir(), (path / "test").mkdir()), "holds 'cat' beside the folders of splits"),
    ],
)
def test_folders_that_hold_something_else_are_told(folder: Callable[..., Path], spoil: Callable[[Path], Any], message: str) -> None:
    path = folder()
    spoil(path)
    with pytest.raises(DatasetError, match=message):
        loaded(path)


def test_class_that_only_the_test_split_has_is_told(folder: Callable[..., Path]) -> None:
    folder("train")
    path = folder("test", classes=("cat", "dogg"))
    with pytest.raises(DatasetError, match="holds 'dogg', which is no class of the rows to train on; did you mean 'dog'"):
        loaded(path)


def test_file_or_url_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="is a file; expected a folder with a folder of images for each class"):
        loaded(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="is a URL; expected a folder of this machine"):
        load(DatasetSection(source="images", path="s3://bucket/images"), 0)
