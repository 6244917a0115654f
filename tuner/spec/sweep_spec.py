"""From sweep.toml to checked values: every name and number is checked here, before any process starts.

Owns the top level of the spec and what must hold between its sections, which are declared in the rooms that use them, or in sections.py.
Must not start anything, read data or build a network.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cluster.resources import ResourcesSection
from cluster.targets import ClusterSection
from search_spaces import network
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.metrics import METRICS, is_metric, loss_key, metric_key, usual
from search_spaces.space import SearchSpace, space_of
from search_spaces.spaces import SPACES
from tuner.data.dataset import Dataset, DatasetSection
from tuner.data.own import functions
from tuner.errors import DatasetError, SpecError
from tuner.monitor.trackers.named import Trackers
from tuner.search.first_trials import points_of
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.named import SearchSection
from tuner.spec.builder_style import styled
from tuner.spec.mistakes import first_mistake, shown
from tuner.spec.overrides import override
from tuner.spec.sections import FUNCTIONS, EvaluationSection, ObjectiveSection, SpaceSection, TrainingSection
from tuner.study import storage
from tuner.study.directions import direction_of
from tuner.study.objective import Objective
from tuner.training.class_weight import ClassWeight, by_number
from tuner.training.config import TrainingConfig
from tuner.training.inputs import described
from tuner.training.patience import Patience

# Folders, studies, jobs and pages are called by a sweep's name.
NAMED = "letters and digits of any script, blanks and . _ - + , = ( ) @ & between, beginning with a letter or a digit"
_NAME = re.compile(r"[^\W_](?:[\w .+,=()@&-]*)")
EXAMPLE = Path(__file__).with_name("example.toml")
# What trials tell of themselves besides their metrics, and what one may want to be small.
SECOND = ("parameters",)


class SweepSpec(BaseModel):
    """A sweep: data, space, search, scheduler, resources and what is done with the best."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(description=f"The sweep's name, at most 100 characters: {NAMED}.")
    seed: int = Field(0, ge=0, lt=2**31, description="Everything random derives from it.")
    folder: str | None = Field(None, description="Where everything of this sweep is written. none: sweeps/<name>.")
    storage: str | None = Field(
        None,
        description="A bucket (s3://bucket/path or gs://bucket/path) or a folder that all nodes share (an absolute path): the states of trials, a copy of the "
        "journal, leaderboard, model and reports are kept in <storage>/<name> as well, and another machine can go on from there. Credentials and endpoints "
        "are the environment's, on every node: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...",
    )
    database: str | None = Field(
        None,
        description="A database URL for the study instead of a journal in the folder, such as postgresql+psycopg://user@host/db; its password is no part of "
        "it: PGPASSWORD or ~/.pgpass.",
    )
    trackers: Trackers = Field(
        default_factory=list,
        description="Where the sweep is shown as well while it runs: mlflow, tensorboard, wandb. Each needs its package: pip install "
        "'keras-sweep-tuner[mlflow]'. Addresses and credentials are the environment's, as each tracker has them (MLFLOW_TRACKING_URI, WANDB_MODE, ...); "
        "without them everything stays in the sweep's folder.",
    )
    dataset: DatasetSection = Field(default_factory=DatasetSection)
    space: SpaceSection = Field(default_factory=lambda: SpaceSection(name="mlp"))
    objective: ObjectiveSection = Field(default_factory=ObjectiveSection)
    search: SearchSection = Field(default_factory=lambda: SearchSection(trials=50))
    scheduler: SchedulerSection = Field(default_factory=SchedulerSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    resources: ResourcesSection = Field(default_factory=ResourcesSection)
    cluster: ClusterSection = Field(default_factory=ClusterSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
            raise ValueError(f"got {shown(name)}; expected {NAMED}")
        if len(name) > 100 or len(name.encode()) > 200:  # folders and files are called by it
            raise ValueError(f"got {len(name)} characters ({len(name.encode())} bytes); expected at most 100 characters and 200 bytes")
        return name

    @field_validator("storage")
    @classmethod
    def _is_a_place(cls, place: str | None) -> str | None:
        if place is not None:
            storage.check(place)
        return place

    @field_validator("database")
    @classmethod
    def _is_a_database(cls, url: str | None) -> str | None:
        if url is not None:
            from tuner.study import database  # with SQLAlchemy, for which no other spec has to wait

            database.check(url)
        return url

    def training_config(self, dataset: Dataset, search_path: tuple[str, ...]) -> TrainingConfig:
        """Return what all trainings of this sweep have in common; configuration and seed are each one's own.

        Args:
            dataset: what they are about.
            search_path: folders where the builder's module is looked for.
        """
        center, spread = dataset.units
        objective = self.objective_for(dataset.task)
        return TrainingConfig(
            self.builder,
            {},
            dataset.task,
            dataset.outputs,
            epochs=self.training.max_epochs,
            seed=0,
            deterministic=self.training.deterministic,
            precision=self.training.precision,
            search_path=search_path,
            center=center,
            spread=spread,
            classes=dataset.classes,
            targets=described(dataset.pool.y),
            names=dataset.names,
            loss=self.training.loss,
            fit=self.training.fit,
            callbacks=self.training.callbacks,
            metrics=None if self.training.metrics is None else tuple(self.training.metrics),
            class_weight=class_weight_of(self, dataset),
            patience=None if self.training.patience is None else Patience(self.training.patience, objective.metric, objective.mode),
        )

    @property
    def builder(self) -> str:
        """Who builds the networks, as `module:function`."""
        return self.space.builder or SPACES[self.space.name or "mlp"].builder

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions of the user's own that trials call, `module:function` each: the builder first."""
        return functions_in(to_json(self))

    def search_space(self, asked_for: SearchSpace | None = None) -> SearchSpace:
        """Return the space that `[space]` describes.

        Args:
            asked_for: what running the builder has shown, for one that asks for its hyperparameters itself.

        Raises:
            SpecError: a hyperparameter is unknown, or its range impossible.
        """
        narrowed = dict(self.space.model_extra or {})
        try:
            if self.space.builder is not None:
                if self.space.name is not None:
                    raise SearchSpaceError(f"name: got {self.space.name!r} beside a builder; expected one of the two")
                if not self.space.define_by_run:
                    return space_of(self.space.builder, narrowed)
                if asked_for is None:
                    raise SearchSpaceError(f"builder: {self.space.builder} asks for its hyperparameters itself; its space shows once it has been run")
                return asked_for.narrow(narrowed)
            name = self.space.name or "mlp"
            if name not in SPACES:
                raise SearchSpaceError(f"name: unknown space {name!r}; {nearest(name, SPACES)}")
            return SPACES[name].narrow(narrowed)
        except SearchSpaceError as error:
            raise SpecError(f"space.{error}") from error

    def objective_for(self, task: str) -> Objective:
        """Return the objective for a task (`classification` or `regression`)."""
        default = "val_accuracy" if task == "classification" else "val_loss"
        return Objective.of(self.objective.metric or default, self.objective.mode or self._mode())

    def _mode(self) -> Literal["max", "min"] | None:
        """Return the direction of the objective where it is a metric that `training.metrics` names: by its class in Keras, however it is written."""
        metric = (self.objective.metric or "").removeprefix("val_")
        return direction_of(METRICS[metric_key(metric)].keras_class) if metric in (self.training.metrics or ()) else None

    @property
    def sweep_folder(self) -> Path:
        return Path(self.folder or Path("sweeps") / self.name)

    @property
    def kept_at(self) -> str | None:
        """Where the storage keeps this sweep; None without one."""
        return None if self.storage is None else f"{self.storage.rstrip('/')}/{self.name}"


def load(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a spec and check all of it.

    Args:
        path: a TOML file.
        overrides: `key=value` each, with dots in the key (`search.trials=50`) and a TOML value; a value that is no TOML is a string.

    Raises:
        SpecError: one line that names the key, what arrived, what was expected and the nearest valid word.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # as text, its lone carriage returns would become lines
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; `tuner init {path.name}` writes an example") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({_reason(error)}); expected a TOML file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not TOML: {error}") from error
    for asked in overrides:
        override(values, asked)
    try:
        return check_beside(values, (str(path.resolve().parent),))
    except SpecError as error:
        raise SpecError(f"{path}{' with --set' if overrides else ''}: {error}") from None


def check_beside(values: dict[str, Any], search_path: Sequence[str]) -> SweepSpec:
    """Return the spec made of these values, and check that the functions which it names are there.

    Args:
        values: as a file would hold them.
        search_path: folders in which its modules are looked for.

    Raises:
        SpecError: see `load`.
    """
    key = "space.builder"
    try:
        spec = check(styled(values, search_path))
        if spec.space.builder is not None:
            network.style(spec.space.builder, search_path)
        for key in FUNCTIONS:
            if (name := getattr(spec.training, key)) is not None:
                network.find(name, search_path)
        if spec.dataset.is_function:
            functions.check(spec.dataset.source, search_path)
    except DatasetError as error:
        raise SpecError(str(error)) from error
    except SearchSpaceError as error:
        raise SpecError(f"{key}: {error}") from error
    return spec


def check(values: dict[str, Any]) -> SweepSpec:
    """Return the spec made of these values, as `load` does of a file's.

    Raises:
        SpecError: see `load`.
    """
    try:
        spec = SweepSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(first_mistake(error, SweepSpec)) from None
    spec = _fitted(spec)
    _check_between(spec)
    if not spec.space.define_by_run:
        check_space(spec, spec.search_space())
    elif spec.space.builder is None:
        raise SpecError("space.define_by_run: means nothing without space.builder")
    return spec


def check_space(spec: SweepSpec, space: SearchSpace) -> None:
    """Check what a spec asks of its space: at once, or once the builder has shown its space.

    Args:
        spec: checked.
        space: as `spec.search_space` returns it.

    Raises:
        SpecError, ClusterError: it does not have what the spec asks for.
    """
    spec.resources.check(space.parameters)
    points_of(space, spec.search.enqueue)
    if spec.search.sampler == "grid" and space.size() is None:
        raise SpecError('search.sampler: "grid" needs a finite space; give every continuous hyperparameter a list of choices, or a range with a step')


def check_reports(spec: SweepSpec, task: str) -> None:
    """Check that the epochs of a sweep over a space of Tuner's own will report what it names: as soon as the data tell the task.

    Args:
        spec: checked.
        task: of the data.

    Raises:
        SpecError: a metric or a loss is none of the task, or the objective is not reported.
    """
    section = spec.training
    for key, names, check_name in (("metrics", section.metrics or (), metric_key), ("loss", [section.loss] if section.loss else (), loss_key)):
        for name in names:
            try:
                check_name(name, task)
            except SearchSpaceError as error:
                raise SpecError(f"training.{key}: {error}") from error
    metric = spec.objective.metric
    if metric is None or spec.space.builder is not None:
        return
    names = ["loss", *(usual(task) if section.metrics is None else section.metrics)]
    reported = [f"val_{name}" for name in names] + names
    if metric not in reported:
        hint = f'; training.metrics = ["{metric.removeprefix("val_")}"] reports it' if is_metric(metric.removeprefix("val_"), task) else ""
        raise SpecError(f"objective.metric: got {shown(metric)}, which no epoch will report; {nearest(metric, reported)}{hint}")


def class_weight_of(spec: SweepSpec, dataset: Dataset) -> ClassWeight:
    """Return how much rows count by their class, by the classes' numbers.

    Args:
        spec: checked.
        dataset: what it is about.

    Raises:
        SpecError: the data have no classes, or not these.
    """
    in_memory = dataset.survey is None and dataset.pipeline is None
    return by_number(spec.training.class_weight, task=dataset.task, classes=dataset.classes, in_memory=in_memory)


def to_json(spec: SweepSpec) -> dict[str, Any]:
    """Return the spec as plain JSON values, every default written out."""
    return json.loads(spec.model_dump_json())


def functions_in(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the functions of the user's own that the trials of a recorded spec call, `module:function` each: the builder first.

    Args:
        values: as `to_json` returns them, now or in an earlier version.
    """
    training = values.get("training") or {}
    named = ((values.get("space") or {}).get("builder"), *(training.get(key) for key in FUNCTIONS))
    return tuple(name for name in named if name is not None)


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded spec with the keys that Tuner has learnt since at their defaults; as it is where it is no valid spec any more."""
    try:
        return to_json(check(dict(recorded)))
    except SpecError:
        return dict(recorded)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return what differs between two specs as JSON, one `key: old -> new` each.

    Args:
        old: JSON.
        new: JSON.
        path: the key that both stand at; empty: at the top.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in dict.fromkeys([*old, *new]) for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)]
    return [] if old == new else [f"{path}: {shown(old)} -> {shown(new)}"]


def schema() -> dict[str, Any]:
    """Return the JSON schema of sweep.toml (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SweepSpec.model_json_schema()}


def _fitted(spec: SweepSpec) -> SweepSpec:
    """Return the spec with its defaults made to fit what was given: a key that nobody wrote never refuses a spec."""
    training, scheduler, epochs = spec.training, spec.scheduler, spec.search.epochs
    if epochs is not None and epochs < training.max_epochs and "max_epochs" not in training.model_fields_set:
        training = training.model_copy(update={"max_epochs": epochs})
    if scheduler.grace_period > training.max_epochs and "grace_period" not in scheduler.model_fields_set:
        scheduler = scheduler.model_copy(update={"grace_period": training.max_epochs})
    return spec.model_copy(update={"training": training, "scheduler": scheduler})


def _check_between(spec: SweepSpec) -> None:
    """Check what must hold between sections."""
    if spec.scheduler.grace_period > spec.training.max_epochs:
        raise SpecError(f"scheduler.grace_period: got {spec.scheduler.grace_period}; expected at most training.max_epochs ({spec.training.max_epochs})")
    if spec.search.epochs is not None and spec.search.epochs < spec.training.max_epochs:
        raise SpecError(f"search.epochs: got {spec.search.epochs}; expected at least training.max_epochs ({spec.training.max_epochs}), one full training")
    if spec.objective.metric is not None:
        spec.objective_for("custom")  # its direction follows from its name, or is stated
    second = spec.search.also_minimize
    if second is not None and second not in SECOND:
        raise SpecError(f"search.also_minimize: got {second!r}, which no trial tells; {nearest(second, SECOND)}")


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
