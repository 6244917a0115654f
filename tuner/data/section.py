"""`[dataset]` of sweep.toml: which data a sweep uses, and how they are split and scaled.

Owns the keys, their ranges and what must hold between them. Must not read any data.
"""

import json
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from search_spaces.errors import nearest

# A TOML array arrives as a list.
Names = Annotated[tuple[str, ...], Field(strict=False)]
Marks = Annotated[tuple[str | int | float, ...], Field(strict=False)]
# A fraction of the rows, or a number of rows.
Share = Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=1)]

DEFAULT_SHARE = 0.2
# What `columns` may call a column, besides the form of a date, which has a % in it.
ASKED = ("number", "unscaled", "boolean", "date", "category")
# Sources by name; any other is a function of the user's own.
SOURCE_NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "npz", "table", "images")
FROM_FILE = ("npz", "table", "images")
# What a function of the user's own is called where sources are listed.
FUNCTION = "my_module:load"
# Of archives and functions, what splits go by is an array of this name, unless the spec names another.
USUAL_NAMES = {"group": "group", "split_column": "split"}
Scaling = Literal["auto", "none", "unit", "standard", "minmax"]
Place = Annotated[str, Field(min_length=1)]


class DatasetSection(BaseModel):
    """`[dataset]`: the data, their splits and their scaling."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: str = Field(
        "digits",
        description="Where the data come from: digits (needs no network), mnist, fashion_mnist, cifar10 (Keras's own loaders), npz (a NumPy archive), "
        'table (CSV, Parquet, Arrow, Feather), images (a folder for each class); or a function of your own, "my_module:load", '
        "which lies beside the spec: it returns arrays, or pipelines of batches.",
    )
    arguments: dict[str, Any] = Field({}, description='What a function of your own is called with. Where it has a parameter "split", Tuner itself gives it.')
    version: str | None = Field(
        None, description="A function's pipelines: what you call these data. A sweep goes on only with the same version, source text and arguments."
    )
    steps_per_epoch: int | None = Field(None, ge=1, description="A function's pipelines that never end: batches of an epoch. none: all there are.")
    validation_steps: int | None = Field(None, ge=1, description="The same of the pipelines for validation and test.")
    path: str | None = Field(
        None,
        description="npz, table, images: a file or an s3:// or gs:// URL; a table may be a folder; images are one (with a folder for each class, or train, "
        "validation and test of them). An archive holds x and y (none: no targets), or x_train, y_train "
        "and the same for validation and test where there are some; x/age, x/left/0, ... for several inputs (likewise y), and w for row weights.",
    )
    image_size: Annotated[int, Field(ge=1)] | Annotated[tuple[int, int], Field(strict=False)] | None = Field(
        None, description="images: height and width in pixels, one number or [height, width]. none: that of the images, which must all be alike."
    )
    color_mode: Literal["rgb", "grayscale", "rgba"] = Field("rgb", description="images: channels of each.")
    skip_broken: bool = Field(False, description="images: leaves files out that cannot be decoded, and says how many. false: they are an error.")
    test_path: str | None = Field(None, description="table: where the test split is; it is kept as it is. none: it is drawn from the rows at path.")
    format: Literal["csv", "parquet", "feather", "arrow"] | None = Field(None, description="table: the files' format. none: the ending decides.")
    separator: str = Field(
        ",",
        min_length=1,
        max_length=1,
        description='table: what separates the columns of a CSV file. Where a comma does not, and ";", "|" or tabs divide all lines alike, these do.',
    )
    header: bool | Names | None = Field(
        None,
        description='table: whether the first line of a CSV file names its columns; false: they are called "1", "2", ...; a list: the file has no names, '
        "these are they. none: it does, unless it looks like data, which is refused.",
    )
    decimal: Literal[".", ","] | None = Field(None, description="table: the sign before decimals in a CSV file. none: each column's values decide.")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None, description="table: the sign between thousands in a CSV file, such as the comma of 12,000. none: each column's values decide."
    )
    missing_values: Marks | None = Field(
        None,
        description='table: the words and numbers that stand for a missing value, such as ["?", "NA", -999]; an empty field always does, and among numbers and '
        "dates of a CSV file so do NA, NaN, null, None, ?, a lone - and their like. none: in CSV files NA, N/A, NaN, null and ? among words too.",
    )
    columns: dict[str, str] = Field(
        {},
        description=f'table: what a column is, where the rules are wrong: {", ".join(ASKED)}, or the form of its dates, such as "%d/%m/%Y" (see strptime). '
        "unscaled: a number that is left as it is.",
    )
    target: str | int | Names | None = Field(
        None,
        description="table: the column to predict (without a header, its number); a list of numbers is a regression with several targets, one with words "
        "in it several targets by name, as is any list with task = custom.",
    )
    task: Literal["classification", "multilabel", "regression", "custom"] | None = Field(
        None,
        description="npz, table, functions: what is learned. none: classification for strings, booleans, one-hot columns, whole numbers that look like labels "
        "(at most 10 different ones, or up to 100 that count from 0 or 1 without a gap, with 2 rows each on average; also where they are written 1.0); "
        "multilabel for other columns of 0 and 1; custom (the builder compiles its model) for several targets, none, or targets of more axes; else regression.",
    )
    classes: Names | None = Field(
        None, description="npz, functions: the names of the classes 0, 1, ..., or of the labels' columns. none: their numbers, or what the source calls them."
    )
    one_hot: bool = Field(
        False, description="npz, functions, images: classes have a column each, for losses that want that. false: one-hot columns become class numbers."
    )
    weight: Place | None = Field(None, description="table: the column of row weights, 0 or more; it is no feature. Archives and functions bring w.")
    features: Names | None = Field(None, description="table: the columns to predict from. none: every column but the target.")
    exclude: Names = Field((), description="table: columns to leave out.")
    missing: Literal["error", "drop", "mean", "median", "zero"] = Field(
        "error",
        description="npz, table: what a missing value means: an error, its row is dropped, or it is filled (by what the training rows hold; a missing string "
        "becomes a category of its own).",
    )
    encode: bool = Field(
        True,
        description="table: words become columns of 0 and 1, dates numbers, and all of them one array. false: a dictionary of columns as they are, (rows, 1) "
        "each, words as words, for a builder with layers that prepare them, such as keras.utils.FeatureSpace.",
    )
    missing_indicators: bool = Field(False, description="table: adds a column that is 1 where a value was missing, for each number column with holes.")
    max_categories: int = Field(1000, ge=2, description="table: a string column with more distinct values than this is refused.")
    scaling: Scaling | dict[str, Scaling] = Field(
        "auto",
        description="auto: unit for images of bytes, none for flags (bytes up to 1) and for whole numbers that are the numbers of words, else standard. "
        "unit: divided by the largest value; standard: mean 0, deviation 1; minmax: 0 to 1. "
        "Fitted on training rows only; booleans and categories stay 0 and 1. Of several inputs, whole numbers and words are left as they are; a table says it "
        'for each: { image = "unit", "left/0" = "none" }.',
    )
    validation: Share | None = Field(None, description=f"Rows to validate on: a fraction of all, or a number. none: {DEFAULT_SHARE}, unless there are folds.")
    test: Share | None = Field(
        None, description=f"Rows to keep apart as the test split: a fraction of all, or a number of rows. none: {DEFAULT_SHARE}, unless the data bring one."
    )
    folds: int | None = Field(None, ge=2, description="Cross-validation with this many folds instead of one validation split.")
    max_rows: int | None = Field(None, ge=2, description="Train and validate on at most this many rows, drawn by the seed; the test split stays whole.")
    stream: bool = Field(
        False,
        description="table: for Parquet, Feather and Arrow files larger than memory: training rows are read anew in every epoch, and mixed in a buffer; "
        "validation and test rows stay in memory (none: 0.2 of the rows each, at most 100,000).",
    )
    shuffle_buffer: int = Field(65_536, ge=1, description="table, with stream: rows that are mixed at a time, and held in memory.")
    split: Literal["random", "time", "group", "column"] | None = Field(
        None,
        description="npz, table, functions: how rows are divided. random: by the seed, classes and labels in equal shares; time: train, then validation, then "
        "test; group: no group on two sides; column: as split_column says. none: what of time, group and split_column is set, else random.",
    )
    time: Place | None = Field(None, description="The column or array that rows are put in order by. none, with split = time: the order that they have.")
    gap: int = Field(0, ge=0, description="With split = time: rows that are left out before validation and before test, so that windows do not overlap.")
    group: Place | None = Field(None, description="The column or array whose equal values stay together.")
    split_column: Place | None = Field(None, description="The column or array that says train, validation or test of each row.")
    split_seed: int | None = Field(None, ge=0, lt=2**31, description="Seed of the splits. none: the sweep's seed.")

    @field_validator("path", "test_path")
    @classmethod
    def _hold_no_credentials(cls, path: str | None) -> str | None:
        if path is not None and "://" in path and "@" in urlsplit(path).netloc:
            raise ValueError("got a URL with credentials in it, which every record of the sweep would show; expected them in the environment")
        return path

    @field_validator("source")
    @classmethod
    def _is_known(cls, source: str) -> str:
        if source not in SOURCE_NAMES and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", source):
            raise ValueError(f'got {source!r}; {nearest(source, SOURCE_NAMES)}; or a function of your own, as "{FUNCTION}"')
        return source

    @field_validator("arguments")
    @classmethod
    def _are_plain(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"got what is no plain value ({error}); expected text, numbers, booleans, lists and tables") from error
        return arguments

    @field_validator("target")
    @classmethod
    def _is_a_name(cls, target: str | int | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        return str(target) if isinstance(target, int) else target

    @field_validator("columns")
    @classmethod
    def _are_known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name, asked in columns.items():
            if asked not in ASKED and "%" not in asked:
                hint = '; a column is left out by exclude = ["..."], left as it is by "unscaled"' if asked.startswith("left") else ""
                raise ValueError(f"{name}: got {asked!r}; {nearest(asked, ASKED)}{hint}")
        return columns

    @model_validator(mode="after")
    def _check_between(self) -> Self:
        if self.source in FROM_FILE and not self.path:
            raise ValueError(f'path: missing; source = "{self.source}" needs the file')
        if self.source == "table" and not self.targets:
            raise ValueError("target: missing; a table needs the column to predict")
        # A key that this source cannot use would be dropped in silence.
        kind = FUNCTION if self.is_function else self.source
        for key in sorted(self.model_fields_set & set(_ONLY)):
            if kind not in _ONLY[key] and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f'{key}: means nothing for source = "{self.source}"; expected it with source = {" or ".join(_ONLY[key])} only')
        self._check_splits()
        if self.missing_indicators and self.missing in ("error", "drop"):
            raise ValueError(f'missing_indicators: means nothing with missing = "{self.missing}"; expected missing = mean, median or zero')
        if not self.encode:
            for key in ("stream", "missing_indicators"):
                if getattr(self, key):
                    raise ValueError(f"{key}: means nothing with encode = false; expected one of the two")
        if self.stream:
            for key in ("folds", "max_rows"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: got {getattr(self, key)} with stream = true; expected one of the two: folds and samples need all rows in memory")
            if self.missing == "median":
                raise ValueError('missing: got "median" with stream = true; expected "mean", "zero", "drop" or "error", which one pass can tell')
        elif "shuffle_buffer" in self.model_fields_set and self.shuffle_buffer != type(self).model_fields["shuffle_buffer"].default:
            raise ValueError("shuffle_buffer: means nothing without stream = true")
        if self.test is not None and self.test_path is not None:
            raise ValueError("test: got it beside test_path; expected one of the two")
        if self.folds is not None and self.validation is not None:
            raise ValueError("validation: got it beside folds; expected one of the two")
        shares = [share for share in self._shares if isinstance(share, float)]
        if sum(shares) >= 1:
            raise ValueError(f"validation + test: got {' + '.join(map(str, shares))}; expected less than 1 together, so that rows are left to train on")
        if self.features is not None:
            if not self.features:
                raise ValueError("features: got an empty list; expected at least one column")
            both = sorted(set(self.features) & set(self.exclude))
            if both:
                raise ValueError(f"features: {both[0]!r} is also in exclude; expected it in one of the two")
        for key, names in (("features", self.features or ()), ("exclude", self.exclude), ("target", self.targets)):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{key}: {twice!r} is there twice")
        leaked = sorted(set(self.targets) & set(self.features or ()))
        if leaked:
            raise ValueError(f"features: {leaked[0]!r} is the target; a network that sees it has nothing to learn")
        for name in self.columns:
            if name in self.targets:
                raise ValueError(f'columns: {name!r} is the target; task = "classification" or "regression" says what it is')
            if name in self.exclude or (self.features is not None and name not in self.features):
                raise ValueError(f"columns: {name!r} is left out by {'exclude' if name in self.exclude else 'features'}; expected a column to predict from")
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"thousands: got {self.thousands!r}, which is also the decimal sign; expected two different ones")
        return self

    def _check_splits(self) -> None:
        named = {"time": self.time, "group": self.group, "column": self.split_column}
        keys = {"time": "time", "group": "group", "column": "split_column"}
        given = [mode for mode, name in named.items() if name is not None]
        # Groups that are drawn at random stay together either way.
        allowed = given if self.split is None else [self.split, *(["group"] if self.split == "random" else [])]
        if len(given) > 1:
            raise ValueError(f"{keys[given[1]]}: got it beside {keys[given[0]]}; expected one of the two")
        for mode in given:
            if mode not in allowed:
                raise ValueError(f'{keys[mode]}: means nothing with split = "{self.split}"; expected split = "{mode}"')
        if self.split in ("group", "column") and named[self.split] is None and self.source == "table":
            raise ValueError(f'{keys[self.split]}: missing; split = "{self.split}" needs the column')
        if self.gap and self.mode != "time":
            raise ValueError('gap: means nothing without split = "time"')
        if self.stream and self.mode != "random":
            raise ValueError(f'split: got "{self.mode}" with stream = true; expected "random": other splits need all rows in memory')
        for key, name in ((key, name) for key, names in self.set_aside.items() for name in names):
            if name in self.targets or name in self.exclude:
                raise ValueError(f"{key}: {name!r} is {'the target' if name in self.targets else 'in exclude'}; expected another column")
        if self.stream and self.weight is not None:
            raise ValueError("weight: means nothing with stream = true; expected a table that is read at once")
        if self.mode == "column" and self.folds is not None:
            raise ValueError("folds: got it beside a column that says what each row is for; expected one of the two")
        if isinstance(self.scaling, dict) and self.source != "npz" and not self.is_function and self.encode:
            raise ValueError(f'scaling: got a table for source = "{self.source}", which has one input; expected a word')

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of images; None: that of the files."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def is_function(self) -> bool:
        """Whether the data come from a function of the user's own."""
        return ":" in self.source

    @property
    def method(self) -> str:
        """How the numbers of a table are scaled."""
        return "standard" if self.scaling == "auto" or isinstance(self.scaling, dict) else self.scaling

    @property
    def mode(self) -> str:
        """How rows are divided: `random`, `time`, `group` or `column`."""
        if self.split is not None and not (self.split == "random" and self.group is not None):
            return self.split
        return "group" if self.group is not None else "time" if self.time is not None else "column" if self.split_column is not None else "random"

    @property
    def aside(self) -> str | None:
        """The column or array that rows are divided by; None where there is none."""
        if self.mode == "random":
            return None
        key = {"time": "time", "group": "group", "column": "split_column"}[self.mode]
        return getattr(self, key) or (USUAL_NAMES.get(key) if self.source != "table" else None)

    @property
    def set_aside(self) -> dict[str, tuple[str, ...]]:
        """Key -> the column that it names, of a table: no features, unless `features` names them."""
        return {key: (name,) for key in ("weight", "time", "group", "split_column") if (name := getattr(self, key)) is not None}

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns; empty where none is named."""
        if self.target is None or self.target == "":
            return ()
        return (str(self.target),) if isinstance(self.target, str | int) else self.target

    @property
    def _shares(self) -> tuple[float | int | None, ...]:
        """The validation and the test share, as far as the spec fixes them before the data are read: an archive may bring a test split."""
        validation = None if self.folds else DEFAULT_SHARE if self.validation is None else self.validation
        drawn = self.source == "digits" or (self.source == "table" and self.test_path is None)
        return validation, DEFAULT_SHARE if self.test is None and drawn else self.test


# Which sources a key has a meaning for; for all of them where it is not named here.
_OF_TABLES = (
    *("test_path", "format", "separator", "header", "decimal", "thousands", "missing_values", "columns", "target", "weight", "features", "exclude"),
    *("encode", "missing_indicators", "max_categories", "stream", "shuffle_buffer"),
)
_ANY = ("npz", "table", FUNCTION)
_ONLY = {key: ("table",) for key in _OF_TABLES} | {
    "path": FROM_FILE,
    "missing": _ANY,
    "task": (*_ANY, "images"),
    "test": ("digits", *_ANY, "images"),
    **dict.fromkeys(("image_size", "color_mode", "skip_broken"), ("images",)),
    **dict.fromkeys(("arguments", "version", "steps_per_epoch", "validation_steps"), (FUNCTION,)),
    "classes": ("npz", FUNCTION),
    "one_hot": ("npz", FUNCTION, "images"),
    **dict.fromkeys(("split", "time", "gap", "group", "split_column"), _ANY),
}
