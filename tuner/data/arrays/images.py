"""Images in class folders, as one array of bytes.

Owns which files count, how they are decoded and brought to one size, and what is said of those that cannot be. Local folders only. Must not know splits or
networks.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluster.quota import cpus, free_bytes
from search_spaces.errors import nearest
from tuner.data.files import first_line, is_url, locate
from tuner.errors import DatasetError

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SPLITS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
# What the decoded images may take of the memory that is left: the driver holds them, and every node that trains maps them.
MOST_SHARE = 0.4
SHOWN_FILES = 5


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images.

    Attributes:
        x: (n, height, width, channels) uint8.
        labels: (n,) int64: numbers of the class folders, in the order of their names.
        rows: (n,) int64: places in the sorted list of files, broken ones included.
        broken: files that were left out, below the folder.
    """

    x: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """How images are read.

    Attributes:
        size: height and width; None: that of the images, which must all be alike.
        channels: 1, 3 or 4.
        skip_broken: leave files out that cannot be decoded.
    """

    size: tuple[int, int] | None
    channels: int
    skip_broken: bool = False


def folders_of(path: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the folder of each split (`train` alone where there are no splits), and the class folders of train, sorted by name.

    Args:
        path: of the folder.

    Raises:
        DatasetError: it is no folder of class folders.
    """
    if is_url(path):
        raise DatasetError(f"{path}: is a URL; expected a folder of this machine for images")
    _, inner, is_folder = locate(path)
    if not is_folder:
        raise DatasetError(f"{path}: is a file; expected a folder with a folder of images for each class")
    root = Path(inner)
    inside = _folders(root)
    splits = {SPLITS[folder.name.lower()]: folder for folder in inside if folder.name.lower() in SPLITS}
    if "train" not in splits:
        splits = {"train": root}
    elif others := [folder.name for folder in inside if folder.name.lower() not in SPLITS]:
        raise DatasetError(f"{path}: holds {others[0]!r} beside the folders of splits; expected train, validation and test alone, or class folders alone")
    classes = tuple(folder.name for folder in _folders(splits["train"]))
    if len(classes) < 2:
        held = f"the folder {classes[0]!r} alone" if classes else "no folder"
        raise DatasetError(f"{splits['train']}: holds {held}; expected a folder of images for each of two classes or more")
    return splits, classes


def read(folder: Path, classes: Sequence[str], look: Look) -> Images:
    """Decode all images of a folder of class folders, in the order of their names.

    Args:
        folder: holds a folder for each class, or for some of them.
        classes: names of the class folders.
        look: how they are read.

    Raises:
        DatasetError: a class is unknown, a folder is empty, a file is broken, the sizes differ, or all together do not fit into memory.
    """
    for inside in _folders(folder):
        if inside.name not in classes:
            raise DatasetError(f"{folder}: holds {inside.name!r}, which is no class of the rows to train on; {nearest(inside.name, list(classes))}")
    files, labels = [], []
    for number, name in enumerate(classes):
        images = files_in(folder / name) if (folder / name).is_dir() else []
        files += images
        labels += [number] * len(images)
    if not files:
        raise DatasetError(f"{folder}: holds no image; expected files ending in {', '.join(ENDINGS)} in its class folders")
    x, fine = decode(files, look)
    broken = tuple(str(file.relative_to(folder)) for file, is_fine in zip(files, fine, strict=True) if not is_fine)
    kept = np.flatnonzero(fine)
    return Images(x[kept] if broken else x, np.array(labels, dtype=np.int64)[kept], kept.astype(np.int64), broken)


def files_in(folder: Path) -> list[Path]:
    """Return the images in a folder and those below it, sorted by their paths; hidden files and folders, and files of other kinds, are none."""
    images = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in ENDINGS and file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            images.append(file)
    return images


def decode(files: Sequence[Path], look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Decode images to one size.

    Args:
        files: at least one.
        look: how they are read.

    Returns:
        (n, height, width, channels) uint8, and (n,) bool: which of them could be decoded; the others are zeros.

    Raises:
        DatasetError: one is broken and may not be left out, the sizes differ, or all together do not fit into memory.
    """
    size = look.size or _common_size(files)
    shape = (len(files), *size, look.channels)
    needed, left = int(np.prod(shape)), free_bytes()
    if left is not None and needed > MOST_SHARE * left:
        many = f"{len(files)} images of {size[0]} x {size[1]} x {look.channels} take {needed / 1e9:.1f} GB"
        mend = "expected a smaller image_size, fewer images, or a function of your own that gives a pipeline"
        raise DatasetError(f"images: {many}, more than {MOST_SHARE:.0%} of the {left / 1e9:.1f} GB that are left here; {mend}")
    x = np.zeros(shape, dtype=np.uint8)
    problems: list[str | None] = [None] * len(files)

    def one(index: int) -> None:
        problems[index] = _decode(files[index], x[index], look.size is None)

    with ThreadPoolExecutor(cpus()) as pool:  # Pillow computes without Python's lock
        list(pool.map(one, range(len(files))))
    broken = [(file, problem) for file, problem in zip(files, problems, strict=True) if problem is not None]
    if broken and (not look.skip_broken or len(broken) == len(files)):
        shown = ", ".join(f"{file} ({problem})" for file, problem in broken[:SHOWN_FILES])
        more = f" and {len(broken) - SHOWN_FILES} more" if len(broken) > SHOWN_FILES else ""
        raise DatasetError(f"images: {len(broken)} of {len(files)} cannot be read: {shown}{more}; mend or remove them, or dataset.skip_broken = true")
    return x, np.array([problem is None for problem in problems])


def are_images(path: str) -> bool:
    """Say whether a path leads to an image or to a folder."""
    return not is_url(path) and (path.lower().endswith(ENDINGS) or Path(path).expanduser().is_dir())


def to_predict(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decode an image, or all images in a folder in the order of their paths, to the size that a network was trained on.

    Args:
        path: of an image or a folder.
        shape: height, width and channels.

    Returns:
        (n, *shape) uint8.

    Raises:
        DatasetError: there is none, or one is broken, or the network was not trained on images.
    """
    return decode(*files_to_predict(path, shape))[0].reshape(-1, *shape)


def files_to_predict(path: str, shape: tuple[int, ...]) -> tuple[list[Path], Look]:
    """Return an image, or all images in a folder in the order of their paths, and how they are read.

    Args:
        path: of an image or a folder.
        shape: height, width and channels that a network was trained on.

    Raises:
        DatasetError: there is none, or the network was not trained on images.
    """
    locate(path)
    place = Path(path).expanduser()
    files = files_in(place) if place.is_dir() else [place]
    if not files:
        raise DatasetError(f"{path}: holds no image; expected files ending in {', '.join(ENDINGS)}")
    if len(shape) not in (2, 3) or (channels := 1 if len(shape) == 2 else shape[2]) not in _MODES:
        raise DatasetError(f"{path}: are images; expected examples of shape {shape}, as the network was trained on")
    return files, Look((shape[0], shape[1]), channels)


def told_of(broken: Sequence[str]) -> str:
    """Return which files were left out."""
    return f"{len(broken)} left out that cannot be decoded: {', '.join(broken[:SHOWN_FILES])}{', ...' if len(broken) > SHOWN_FILES else ''}"


def _common_size(files: Sequence[Path]) -> tuple[int, int]:
    """Return the size that all images have."""
    from PIL import Image

    sizes: dict[tuple[int, int], Path] = {}
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.setdefault((image.height, image.width), file)
        except Exception:  # said when it is decoded
            continue
        if len(sizes) > 1:
            (first, one), (second, other) = sizes.items()
            sizes_of = f"{one} has {first[0]} x {first[1]} pixels, {other} {second[0]} x {second[1]}"
            raise DatasetError(f"images: {sizes_of}; expected dataset.image_size, to which all of them are brought")
    return next(iter(sizes), (1, 1))


def _decode(file: Path, into: np.ndarray, exact: bool) -> str | None:
    """Decode one image into its place; return why it cannot be, None when it could."""
    from PIL import Image

    height, width, channels = into.shape
    try:
        with Image.open(file) as opened:
            opened.load()
            image: Image.Image = opened
            if image.mode == "F":
                return "it holds fractions; expected 8 or 16 bits for each channel"
            if image.mode.startswith("I"):  # 16 bits for each pixel: the upper eight, as TensorFlow takes them
                image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
            image = image.convert(_MODES[channels])
            if image.size != (width, height):
                if exact:
                    return f"it has {image.height} x {image.width} pixels"
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            into[:] = np.asarray(image).reshape(into.shape)
    except Exception as error:  # each format's decoder raises its own
        return first_line(error).replace(f"'{file}'", "it").replace(str(file), "it")
    return None


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
