import json
from pathlib import Path

import pytest

from tuner.errors import SpecError
from tuner.spec import sweep_spec as specs

SMALLEST = {"name": "s", "search": {"trials": 3}}


def refusal(*overrides: str, text: str = 'name = "s"\n', folder: Path) -> str:
    """Return the one line that a spec is refused with, without the file's name at its beginning."""
    path = folder / "sweep.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        specs.load(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert "sweep.toml" in message or message.startswith("--set")
    return message.removeprefix(f"{path} with --set: " if overrides else f"{path}: ")


BAD = [
    ("scheduler.grace_perod=5", "scheduler.grace_perod: unknown key; did you mean grace_period?"),
    ("schedular.name=asha", "schedular: unknown key; did you mean scheduler?"),
    ("search.trials=many", 'search.trials: got "many"; expected a whole number'),
    ("search.trials=0", "search.trials: got 0; expected greater than or equal to 1"),
    ("search.trials=2.5", "search.trials: got 2.5; expected a whole number"),
    ("search.sampler=tpee", "search.sampler: 'tpee': unknown sampler; did you mean 'tpe'?"),
    ("scheduler.name=ahsa", "scheduler.name: 'ahsa': unknown scheduler; did you mean 'asha'?"),
    ("scheduler.reduction_factor=1", "scheduler.reduction_factor: got 1; expected greater than 1"),
    ("scheduler.grace_period=50", "scheduler.grace_period: got 50; expected at most training.max_epochs (20)"),
    ("space.depht=3", "space.depht: unknown hyperparameter; did you mean 'depth'?"),
    ("space.depth={low=4, high=2}", "space.depth"),
    ("space.depth=[1, 'two']", "space.depth"),
    ("space.optimizer=adamm", "space.optimizer"),
    ("space.name=mpl", "space.name: unknown space 'mpl'; did you mean 'mlp'?"),
    ("space.width={low=64, high=2000000}", "space.width"),
    ("search={sampler='grid', trials=3}", 'search.sampler: "grid" needs a finite space'),
    ("objective.mode=up", "objective.mode: got \"up\"; expected 'max' or 'min'"),
    ("dataset.source=minst", "dataset.source"),
    ("dataset.validation=1.5", "dataset.validation"),
    ("resources.cpus=many", "resources.cpus: got \"many\"; expected a number or 'auto'"),
    ("cluster.target=cloud", "cluster.target: got \"cloud\"; expected 'local', 'address' or 'in-process'"),
    ("name=a/b", "name"),
    ("seed=-1", "seed: got -1; expected greater than or equal to 0"),
    ("training=5", "training: got 5; expected a table"),
    ("training.max_epochs", "--set training.max_epochs: expected key=value"),
]


@pytest.mark.parametrize(("override", "message"), BAD, ids=[override for override, _ in BAD])
def test_bad_value_is_told_with_its_key_in_one_line(override: str, message: str, tmp_path: Path) -> None:
    assert refusal(override, folder=tmp_path).startswith(message)


def test_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing\.toml: no such file; `tuner init nothing\.toml` writes an example"):
        specs.load(tmp_path / "nothing.toml")
    assert "not TOML" in refusal(text="name = \n", folder=tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"binary\.toml: cannot be read"):
        specs.load(tmp_path / "binary.toml")


def test_missing_name_says_what_was_expected(tmp_path: Path) -> None:
    assert refusal(text="seed = 1\n", folder=tmp_path).startswith("name: missing; expected the sweep's name")


def test_several_mistakes_are_counted_in_the_line_of_the_first(tmp_path: Path) -> None:
    assert refusal("search.trials=0", "seed=-1", folder=tmp_path).endswith("(and 1 more)")


def test_overrides_replace_values_and_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('name = "s"\n[search]\ntrials = 3\n')
    spec = specs.load(path, ["search.trials=7", "space.depth=[1, 2]", "dataset.source=digits", "training.deterministic=true"])
    assert spec.search.trials == 7
    assert spec.training.deterministic is True
    assert spec.search_space().describe()["parameters"]["depth"]["choices"] == [1, 2]


def test_example_is_a_valid_spec_of_the_whole_journey() -> None:
    spec = specs.load(specs.EXAMPLE)
    assert spec.dataset.source == "digits"
    assert spec.evaluation.enabled


def test_schema_describes_every_key_and_accepts_the_example() -> None:
    import tomllib

    import jsonschema

    schema = specs.schema()
    jsonschema.validate(tomllib.loads(specs.EXAMPLE.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "s", "sead": 1}, schema)
    for section in schema["$defs"].values():
        for key, value in section.get("properties", {}).items():
            assert value.get("description"), key


def test_spec_survives_being_written_as_json() -> None:
    spec = specs.check(SMALLEST)
    assert specs.check(json.loads(json.dumps(specs.to_json(spec)))) == spec


def test_differences_name_key_old_and_new() -> None:
    old, new = specs.to_json(specs.check(SMALLEST)), specs.to_json(specs.check({**SMALLEST, "seed": 4}))
    assert specs.differences(old, new) == ["seed: 0 -> 4"]
    assert specs.differences(old, old) == []


def test_check_between_keys_of_a_section_names_the_key(tmp_path: Path) -> None:
    assert refusal("dataset.source=npz", folder=tmp_path).startswith("dataset.path: missing")


def test_builder_is_looked_for_beside_the_spec_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('this must not run')\ndef build_model(configuration, problem): ...\n")
    spec = '[space]\nbuilder = "mine:build_model"\nunits = [1, 2]\n'
    path = tmp_path / "sweep.toml"
    path.write_text('name = "s"\n' + spec)
    assert specs.load(path).search_space().size() == 2
    assert "space.builder" in refusal(text='name = "s"\n' + spec.replace("build_model", "bild_model"), folder=tmp_path)
    assert "space.builder" in refusal(text='name = "s"\n' + spec.replace("mine:", "main_:"), folder=tmp_path)


@pytest.mark.parametrize("name", ["my sweep", "größe µ", "日本", "A_b", "a.b (1) + c=2, @x & y"])
def test_a_sweep_is_called_as_its_user_likes(name: str) -> None:
    assert specs.check({"name": name}).sweep_folder.name == name


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "../x", ".hidden", "-option", "a\nb", "a\tb", "ends ", "ends.", "x[/3]", "a\x1b[2J", "a\u202eb", "a:b", "a%b", "a\\b"]
)
def test_a_name_that_would_be_a_path_an_option_or_markup_is_refused_in_words_for_people(name: str) -> None:
    with pytest.raises(SpecError, match=r"^name: got .*; expected letters and digits of any script, blanks and \. _ - "):
        specs.check({"name": name})


def test_a_name_is_no_longer_than_a_folders_may_be() -> None:
    assert specs.check({"name": "n" * 100})
    for name in ("n" * 101, "日" * 67):
        with pytest.raises(SpecError, match="expected at most 100 characters and 200 bytes"):
            specs.check({"name": name})


@pytest.mark.parametrize("scheduler", ["forecast", "asha", "median", "fifo"])
def test_one_epoch_is_not_refused_by_a_key_that_nobody_wrote(scheduler: str) -> None:
    spec = specs.check({"name": "s", "training": {"max_epochs": 1}, "scheduler": {"name": scheduler}})
    assert (spec.training.max_epochs, spec.scheduler.grace_period) == (1, 1)
    with pytest.raises(SpecError, match=r"scheduler\.grace_period: got 2; expected at most training\.max_epochs \(1\)"):
        specs.check({"name": "s", "training": {"max_epochs": 1}, "scheduler": {"name": scheduler, "grace_period": 2}})


def test_a_budget_below_the_usual_training_makes_trainings_shorter() -> None:
    spec = specs.check({"name": "s", "search": {"epochs": 7}})
    assert (spec.training.max_epochs, spec.scheduler.grace_period) == (7, 2)
    assert specs.check(specs.to_json(spec)) == spec  # as it is recorded
    with pytest.raises(SpecError, match=r"search\.epochs: got 7; expected at least training\.max_epochs \(20\)"):
        specs.check({"name": "s", "search": {"epochs": 7}, "training": {"max_epochs": 20}})


def test_metrics_named_in_the_spec_may_be_the_objective_and_their_direction_follows_from_their_class() -> None:
    named = {"name": "s", "training": {"metrics": ["auc_pr", "MeanSquaredError"]}}
    assert specs.check({**named, "objective": {"metric": "val_auc_pr"}}).objective_for("classification").mode == "max"
    assert specs.check({**named, "objective": {"metric": "val_MeanSquaredError"}}).objective_for("regression").mode == "min"
    with pytest.raises(SpecError, match=r"^objective\.mode: missing; expected 'max' or 'min': 'val_auc_pr' is none of Keras's own"):
        specs.check({"name": "s", "objective": {"metric": "val_auc_pr"}})


@pytest.mark.parametrize(
    ("training", "objective", "task", "line"),
    [
        ({"metrics": ["acuracy"]}, {}, None, r"training\.metrics: unknown metric 'acuracy'; did you mean 'accuracy'\?"),
        ({"metrics": ["mse", "mean_squared_error"]}, {}, None, r"training\.metrics: 'mse' stands there twice; expected each metric once"),
        ({"loss": "hubert"}, {}, None, r"training\.loss: unknown loss 'hubert'; did you mean 'huber'\?"),
        ({"metrics": ["auc"]}, {}, "regression", r"training\.metrics: metric 'auc' is none of the task regression"),
        ({"loss": "huber"}, {}, "classification", r"training\.loss: loss 'huber' is none of the task classification"),
        ({}, {"metric": "val_recall"}, "classification", r'got "val_recall", which no epoch will report; .*training\.metrics = \["recall"\] reports it'),
        ({}, {"metric": "val_acuracy", "mode": "max"}, "classification", r"which no epoch will report; did you mean 'val_accuracy'\?$"),
    ],
)
def test_metric_or_loss_that_will_not_be_there_is_refused(training: dict, objective: dict, task: str | None, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        specs.check_reports(specs.check({"name": "s", "training": training, "objective": objective}), task or "classification")
