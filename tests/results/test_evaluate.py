import numpy as np
import pytest

from tuner.data.dataset import Dataset, Features, Fold
from tuner.errors import TrialDiverged
from tuner.results import evaluate
from tuner.results.evaluate import Job, Retrained, Score, final_seeds
from tuner.results.held_out import MISTAKES_SHOWN, held_out_metrics
from tuner.training.config import TrainingConfig
from tuner.training.process import ProcessDied


def dataset(task: str, *, images: bool = False) -> Dataset:
    rows = 6
    x = np.zeros((rows, 2, 2), np.uint8) if images else np.zeros((rows, 2), np.float32)
    y = np.array([0, 1, 2, 0, 1, 2], np.int32) if task == "classification" else np.zeros(rows, np.float32)
    features = Features(x.shape[1:], str(x.dtype))
    fold = Fold(np.arange(4), np.arange(4, 6))
    return Dataset("made up", task, x, y, (fold,), ("a", "b", "c") if task == "classification" else (), features, {}, largest=16.0)


def run(seed: int) -> Retrained:
    config = TrainingConfig("m:f", {}, task="classification", outputs=3, epochs=1, seed=seed)
    return Retrained(Job(config, 1), 1.5, {}, b"", ({"name": "dense", "type": "Dense", "shape": "3", "parameters": 9},), 9)


def one_hot(classes: list[int], confidence: float) -> np.ndarray:
    outputs = np.full((len(classes), 3), (1 - confidence) / 2, np.float32)
    outputs[np.arange(len(classes)), classes] = confidence
    return outputs


def test_mean_and_spread_are_over_all_runs_and_rows_are_of_the_saved_one() -> None:
    y = np.array([0, 1, 2, 2], np.int32)
    results = [Score({"test_accuracy": 0.75}, one_hot([0, 1, 2, 1], 0.8)), Score({"test_accuracy": 1.0}, one_hot([0, 1, 2, 2], 0.8))]
    found = held_out_metrics(dataset("classification"), np.zeros((4, 2), np.float32), y, [run(7), run(8)], results)
    assert found["mean"] == {"test_accuracy": 0.875}
    assert found["spread"]["test_accuracy"] == pytest.approx(0.1767767)
    assert found["saved_seed"] == 7
    assert found["saved"] == {"test_accuracy": 0.75}
    assert found["test"]["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert [entry["recall"] for entry in found["test"]["per_class"]] == [1.0, 1.0, 0.5]
    (mistake,) = found["test"]["mistakes"]
    assert (mistake["row"], mistake["truth"], mistake["predicted"], mistake["image"]) == (3, "c", "b", None)
    assert found["test"]["calibration"] == [{"confidence": pytest.approx(0.8), "accuracy": 0.75, "count": 4}]


def test_one_run_has_no_spread() -> None:
    y = np.array([0, 1], np.int32)
    found = held_out_metrics(dataset("classification"), np.zeros((2, 2), np.float32), y, [run(7)], [Score({"test_accuracy": 1.0}, one_hot([0, 1], 0.9))])
    assert found["spread"] == {"test_accuracy": None}


def test_mistakes_are_the_most_confident_first_and_pictures_use_the_whole_scale() -> None:
    rows = MISTAKES_SHOWN + 6
    y = np.zeros(rows, np.int32)
    outputs = np.concatenate([one_hot([1], 0.5 + index / 100) for index in range(rows)])
    x = np.full((rows, 2, 2), 16, np.uint8)
    found = held_out_metrics(dataset("classification", images=True), x, y, [run(7)], [Score({"test_accuracy": 0.0}, outputs)])
    mistakes = found["test"]["mistakes"]
    assert [mistake["row"] for mistake in mistakes] == list(range(rows - 1, rows - 1 - MISTAKES_SHOWN, -1))
    assert mistakes[0]["image"] == [[255, 255], [255, 255]]


def test_regression_tells_its_errors() -> None:
    y = np.array([1.0, 2.0, 3.0], np.float32)
    score = Score({"test_loss": 1.0}, np.array([[2.0], [3.0], [4.0]], np.float32))
    found = held_out_metrics(dataset("regression"), np.zeros((3, 2), np.float32), y, [run(7)], [score])
    assert found["test"]["errors"]["mean"] == 1.0
    assert found["test"]["errors"]["worst"] == 1.0
    assert found["test"]["errors"]["R2"] == pytest.approx(-0.5)
    assert found["test"]["scatter"][0] == [1.0, 2.0]


@pytest.mark.parametrize("rows", [40, 400])
def test_interval_of_a_regression_covers_the_error_on_new_data(rows: int) -> None:
    draw = np.random.default_rng(3)
    covered = {"test_loss": 0, "test_mae": 0}
    for _ in range(300):
        wrong = draw.normal(size=rows).astype(np.float32)
        metrics = {"test_loss": float((wrong**2).mean()), "test_mae": float(np.abs(wrong).mean())}
        found = held_out_metrics(dataset("regression"), np.zeros((rows, 2), np.float32), np.zeros(rows, np.float32), [run(7)], [Score(metrics, wrong)])
        for name, truth in (("test_loss", 1.0), ("test_mae", np.sqrt(2 / np.pi))):
            within = found["test"]["intervals"][name]
            covered[name] += within["low"] < truth < within["high"]
    assert all(0.91 <= times / 300 <= 0.985 for times in covered.values())


def test_loss_with_penalties_in_it_has_no_interval() -> None:
    y = np.array([0, 1, 2, 2], np.int32)
    outputs = one_hot([0, 1, 2, 1], 0.8)
    loss = -np.log(outputs[np.arange(4), y]).mean()
    for extra, known in ((0.0, ["test_loss"]), (0.1, [])):
        found = held_out_metrics(dataset("classification"), np.zeros((4, 2), np.float32), y, [run(7)], [Score({"test_loss": float(loss + extra)}, outputs)])
        assert list(found["test"]["intervals"]) == known


def test_final_seeds_differ_and_follow_from_the_sweeps() -> None:
    assert len(set(final_seeds(0, 5))) == 5
    assert final_seeds(0, 2) == final_seeds(0, 5)[:2]
    assert final_seeds(1, 2) != final_seeds(0, 2)


def test_training_whose_process_was_killed_is_tried_again_and_what_would_only_happen_again_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(evaluate.time, "sleep", pauses.append)

    def outcome(*ends: object) -> object:
        rest = list(ends)

        def train() -> object:
            end = rest.pop(0)
            if isinstance(end, Exception):
                raise end
            return end

        return evaluate._guarded(train)

    killed, hung = ProcessDied("crash", "the process was killed by SIGKILL"), ProcessDied("deadline", "no answer within 60 s")
    assert outcome(killed, hung, 0.5) == 0.5
    assert pauses == [1.0, 2.0]
    assert outcome(killed, killed) == evaluate._Failed("crash", "crash: the process was killed by SIGKILL")
    assert outcome(ProcessDied("memory", "too large")) == evaluate._Failed("memory", "memory: too large")
    assert outcome(TrialDiverged("loss is nan")) == evaluate._Failed("diverged", "diverged: loss is nan")
