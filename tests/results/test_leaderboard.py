"""The leaderboard: how trials become records, how they are ranked, and the file that keeps them."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tuner.results.leaderboard
from tests.sweeps_made_up import sweep
from tuner.errors import NothingToRank, SweepError
from tuner.results.leaderboard import COLUMNS, FILE, Leaderboard, TrialRecord, rank_trials, record_of
from tuner.study import writing
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study

ACCURACY = Objective("val_accuracy", "max")
LOSS = Objective("val_loss", "min")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(objective: Objective = ACCURACY) -> Study:
    return Study(optuna.create_study(direction=objective.direction), objective)


def trained(study: Study, *values: float, state: str = "complete", cause: Cause | None = None, **facts: object) -> int:
    """Let a trial report these values of the objective, one per epoch, and end."""
    number = study.ask().number
    for name, value in facts.items():
        study.set_trial_fact(number, name, value)
    for epoch, value in enumerate(values, start=1):
        study.report(number, epoch, {"loss": 1.0 / epoch, study.objective.metric: value})
    study.finish(number, state, cause)
    return number


def board_of(study: Study, **facts: object) -> Leaderboard:
    return Leaderboard.of(study.trials(), study.objective, facts)


def record(number: int, score: float | None = None, **more: object) -> TrialRecord:
    epochs = 0 if score is None else 1
    return TrialRecord(**{"number": number, "state": "complete", "score": score, "best_epoch": epochs or None, "epochs": epochs, **more})


# ---- records and ranks


def test_trials_rank_by_their_best_epoch_and_not_by_their_last() -> None:
    study = study_of()
    trained(study, 0.5, 0.9, 0.6)
    trained(study, 0.5, 0.7, 0.8)
    board = board_of(study)
    assert [(entry.number, entry.score, entry.best_epoch, entry.epochs) for entry in board.records] == [(0, 0.9, 2, 3), (1, 0.8, 3, 3)]
    assert board.best.number == 0


def test_a_loss_ranks_the_least_first() -> None:
    study = study_of(LOSS)
    trained(study, 0.9, 0.4)
    trained(study, 0.3, 0.8)
    assert [entry.number for entry in board_of(study).records] == [1, 0]


def test_ties_rank_by_the_trials_number() -> None:
    study = study_of()
    for value in (0.5, 0.7, 0.7):
        trained(study, value)
    assert [(entry.rank, entry.number) for entry in board_of(study).records] == [(1, 1), (2, 2), (3, 0)]


def test_pruned_trials_rank_among_the_others_and_failed_ones_stand_unranked_at_the_end() -> None:
    study = study_of()
    trained(study, 0.99, state="failed", cause=Cause("memory", "needed more than 1 GB", "a traceback"))
    trained(study, 0.6, state="pruned", cause=Cause("scheduler", "asha"))
    trained(study, 0.5)
    study.release(study.ask().number)
    board = board_of(study)
    ranks = [(entry.rank, entry.number, entry.state) for entry in board.records]
    assert ranks == [(1, 1, "pruned"), (2, 2, "complete"), (None, 0, "failed"), (None, 3, "waiting")]
    assert board.records[2].cause == {"kind": "memory", "message": "needed more than 1 GB", "details": "a traceback"}
    assert board.records[2].score == 0.99 and board.records[3].score is None


def test_an_epoch_that_is_not_a_number_leaves_a_gap_in_the_curve_and_no_score() -> None:
    study = study_of()
    trained(study, 0.5, math.nan, state="failed", cause=Cause("diverged", "loss is nan"))
    found = board_of(study).records[0]
    assert found.curves["val_accuracy"] == (0.5, None)
    assert found.curves["loss"] == (1.0, 0.5)
    assert (found.score, found.best_epoch, found.epochs, found.rank) == (0.5, 1, 2, None)


def test_an_epoch_whose_metrics_were_lost_in_a_crash_keeps_its_objective() -> None:
    study = study_of()
    number = trained(study, 0.5, 0.6)
    trial = study.trials()[number]
    lost = {name: value for name, value in trial.user_attrs.items() if name != "epoch_2"}
    found = record_of(optuna.trial.create_trial(state=trial.state, value=0.6, intermediate_values=trial.intermediate_values, user_attrs=lost), ACCURACY)
    assert found.curves["val_accuracy"] == (0.5, 0.6) and found.curves["loss"] == (1.0, None)


def test_a_record_holds_what_the_study_recorded() -> None:
    study = study_of()
    facts = {
        "configuration": {"units": 64, "rate": 0.1},
        "seed": 7,
        "parameters": 1234,
        "started_at": 12.5,
        "worker": "host/3",
        "source": "model",
        "audit": {"epoch": 1, "reason": "behind"},
    }
    trained(study, 0.5, **facts)
    found = board_of(study).best
    assert dict(found.configuration) == {"units": 64, "rate": 0.1}
    assert (found.seed, found.parameters, found.started_at, found.worker) == (7, 1234, 12.5, "host/3")
    assert (found.source, found.audited, found.baseline) == ("model", 1, None)


@pytest.mark.parametrize(("objective", "scores", "gains"), [(ACCURACY, (0.7, 0.8, 0.6), (0.0, 0.1, -0.1)), (LOSS, (0.7, 0.8, 0.6), (0.0, -0.1, 0.1))])
def test_gain_is_measured_from_the_best_baseline_and_positive_is_better(objective: Objective, scores: tuple, gains: tuple) -> None:
    study = study_of(objective)
    trained(study, scores[0], baseline="by hand")
    trained(study, 0.1 if objective.mode == "max" else 0.9, baseline="by hand, worse")
    for score in scores[1:]:
        trained(study, score)
    by_number = {entry.number: entry.gain for entry in board_of(study).records}
    assert [by_number[number] for number in (0, 2, 3)] == pytest.approx(gains)


def test_without_baselines_there_is_no_gain() -> None:
    assert all(entry.gain is None for entry in rank_trials([record(0, 0.5), record(1, 0.6)], ACCURACY))


def test_a_spread_over_folds_is_read_at_the_best_epoch() -> None:
    entry = TrialRecord(number=0, state="complete", score=0.9, best_epoch=2, epochs=3, curves={"val_accuracy_spread": (0.1, 0.2, 0.3)})
    assert entry.at_best("val_accuracy_spread") == 0.2 and entry.at_best("auc") is None


def test_the_best_of_a_sweep_without_scores_is_an_error_that_names_the_causes() -> None:
    study = study_of()
    trained(study, state="failed", cause=Cause("memory", "too large"))
    with pytest.raises(NothingToRank, match=r"^nothing to rank: none of 1 trials has a score \(their causes: memory\); expected at least one trained epoch$"):
        _ = board_of(study).best


def test_hyperparameters_stand_in_the_spaces_order_and_only_some_vary() -> None:
    records = [record(0, 0.5, configuration={"z": 1, "b": 2}), record(1, 0.6, configuration={"z": 1, "a": 3, "b": 2})]
    board = Leaderboard(rank_trials(records, ACCURACY), {"space": {"b": {}, "unused": {}, "a": {}}})
    assert board.hyperparameters == ("b", "a", "z")
    assert board.varying == ("a",)


def test_a_record_that_contradicts_itself_is_refused() -> None:
    for wrong, message in (
        ({"state": "done"}, "state 'done'; expected one of complete, pruned"),
        ({"score": 0.5}, "score 0.5 at best epoch None; expected both or neither"),
        ({"score": math.inf, "best_epoch": 1, "epochs": 1}, "expected a finite number"),
        ({"score": 0.5, "best_epoch": 3, "epochs": 2}, "best epoch 3; expected 1 to 2"),
        ({"rank": 1}, "expected no rank"),
        ({"curves": {"loss": (1.0,)}}, "1 values of loss; expected 0, one per epoch"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            TrialRecord(**{"number": 3, "state": "complete", **wrong})


def test_records_out_of_order_or_twice_are_refused() -> None:
    first, second = rank_trials([record(0, 0.5), record(1, 0.6)], ACCURACY)
    with pytest.raises(ValueError, match="the ranks are not 1, 2, 3"):
        Leaderboard((second, first))
    with pytest.raises(ValueError, match="two trials have the same number"):
        Leaderboard((first, replace(second, number=first.number)))


def test_find_returns_a_trial_by_its_number() -> None:
    board = sweep(5)
    assert board.find(3).number == 3
    with pytest.raises(SweepError, match="trial 9: not in this leaderboard; expected one of its 5 trials"):
        board.find(9)


# ---- the file


@pytest.mark.parametrize("board", [sweep(40), sweep(30, seed=2, folds=True, task="regression"), sweep(0), sweep(4, baselines=False, final=False)])
def test_what_is_written_is_read_back_equal(board: Leaderboard, tmp_path: Path) -> None:
    assert board.write(tmp_path) == tmp_path / FILE
    assert Leaderboard.read(tmp_path) == board
    assert Leaderboard.read(tmp_path / FILE) == board


def test_configuration_columns_are_typed_by_their_values_and_mixed_ones_survive(tmp_path: Path) -> None:
    configurations = [
        {"flag": True, "count": 1, "rate": 0.5, "word": "a", "mixed": 1, "both": 1, "list": [1, 2]},
        {"flag": False, "count": 2, "rate": 1.5, "mixed": "b", "both": 0.5},
    ]
    board = Leaderboard(rank_trials([record(index, 0.5, configuration=entry) for index, entry in enumerate(configurations)], ACCURACY))
    board.write(tmp_path)
    types = {column.name: column.type for column in pq.read_schema(tmp_path / FILE)}
    expected = {"flag": pa.bool_(), "count": pa.int64(), "rate": pa.float64(), "word": pa.string()}
    expected |= {"mixed": pa.string(), "both": pa.float64(), "list": pa.string()}
    assert {name: types[f"config.{name}"] for name in expected} == expected
    assert [dict(entry.configuration) for entry in Leaderboard.read(tmp_path).records] == configurations


def test_the_documented_schema_is_the_one_that_is_written(tmp_path: Path) -> None:
    sweep(12).write(tmp_path)
    written = pq.read_schema(tmp_path / FILE)
    documented = tuner.results.leaderboard.__doc__ or ""
    for name, (kind, unit, meaning) in COLUMNS.items():
        column = written.field(name)
        assert column.type == kind
        assert column.metadata == {b"unit": unit.encode(), b"meaning": meaning.encode()}
        assert re.search(rf"^    {re.escape(name)} +{kind} +{f'{unit} +' if unit else ''}{re.escape(meaning)}$", documented, re.MULTILINE), name
    assert written.names[: len(COLUMNS)] == list(COLUMNS)
    assert written.field("curve.val_loss").type == pa.list_(pa.float64())


def test_the_order_of_columns_does_not_depend_on_the_order_of_records(tmp_path: Path) -> None:
    first, second = record(0, 0.5, configuration={"a": 1, "b": 2}), record(1, 0.6, configuration={"b": 2, "c": 3})
    names = [Leaderboard(rank_trials(records, ACCURACY)).table().column_names for records in ([first, second], [second, first])]
    assert names[0] == names[1] and names[0][-3:] == ["config.a", "config.b", "config.c"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sweep(3)
    old.write(tmp_path)

    def refuse(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", refuse)
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    with pytest.raises(SweepError, match=r"cannot be written \(No space left on device\)"):
        sweep(5).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert Leaderboard.read(tmp_path) == old


def test_reading_what_is_no_leaderboard_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no leaderboard there; expected the folder of a sweep that has ended"):
        Leaderboard.read(tmp_path)
    (tmp_path / "text").write_text("rank,number\n")
    with pytest.raises(SweepError, match="cannot be read as Parquet"):
        Leaderboard.read(tmp_path / "text")
    pq.write_table(pa.table({"rank": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(SweepError, match="a Parquet file, but not a leaderboard"):
        Leaderboard.read(tmp_path / "foreign.parquet")
    table = sweep(3).table()
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), b"tuner.leaderboard": b"99"}), tmp_path / "new.parquet")
    with pytest.raises(SweepError, match="a leaderboard of format 99; expected format 1: read it with the Tuner that wrote it"):
        Leaderboard.read(tmp_path / "new.parquet")
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), b"tuner.facts": b"{"}), tmp_path / "damaged.parquet")
    with pytest.raises(SweepError, match="a damaged leaderboard"):
        Leaderboard.read(tmp_path / "damaged.parquet")


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    whole = sweep(20).write(tmp_path).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SweepError, match="cannot be read as Parquet"):
        Leaderboard.read(tmp_path)


def test_a_file_without_the_columns_that_came_later_is_still_read(tmp_path: Path) -> None:
    board = sweep(6)
    table = board.table().drop_columns(["audited", "cause.details"])
    older = {name: value for name, value in table.schema.metadata.items() if name != b"tuner.check"}
    pq.write_table(table.replace_schema_metadata(older), tmp_path / FILE)
    assert [entry.number for entry in Leaderboard.read(tmp_path).records] == [entry.number for entry in board.records]


READER = """
import sys, types
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
if sys.argv[3] == "bare":
    bare = sys.modules["search_spaces"] = types.ModuleType("search_spaces")
    bare.__path__ = ["search_spaces"]
from tuner.results.leaderboard import Leaderboard
from tuner.report.formats import FORMATS, render
from tuner.report.tables import text
board = Leaderboard.read(sys.argv[1])
print(text(board, top=2))
for form in FORMATS:
    assert render(board, form)
"""


@pytest.mark.parametrize(
    ("missing", "face"),
    [
        ("ray,tensorflow,keras,pydantic,sklearn,scipy,pandas", "whole"),
        # The face of search_spaces, which `tuner.errors` passes through, may import Optuna; these rooms themselves need nothing but pyarrow.
        ("ray,tensorflow,keras,pydantic,sklearn,scipy,pandas,optuna,numpy", "bare"),
    ],
)
def test_a_leaderboard_is_read_and_reported_where_little_is_installed(missing: str, face: str, tmp_path: Path) -> None:
    sweep(20).write(tmp_path)
    ended = subprocess.run([sys.executable, "-c", READER, str(tmp_path), missing, face], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    assert "val_accuracy" in ended.stdout
