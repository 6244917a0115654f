"""TensorBoard: event files in the folder `tensorboard` of the sweep, one subfolder per trial, with learning curves and the HParams dashboard.

The files are written anew whenever a sweep goes on, from the study: TensorBoard itself cannot tell a value that was written twice. Written with
TensorBoard's own record format and messages, but without its `summary` modules: they load TensorFlow where it is installed.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tuner.monitor.trackers.tracker import Sweep, Tracker

FOLDER = "tensorboard"


class _Events:
    """One event file."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True)
        self._file: IO[bytes] = (folder / f"events.out.tfevents.{int(time.time())}.tuner").open("wb")
        self._records = RecordWriter(self._file)
        self._event = Event
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def write(self, value: Mapping[str, Any], at: float, step: int = 0) -> None:
        """Write a value of a summary."""
        self._records.write(self._event(wall_time=at, step=step, summary={"value": [value]}).SerializeToString())
        self._file.flush()

    def over(self) -> None:
        """See `Tracker`. Files of events say nothing of it."""

    def close(self) -> None:
        self._file.close()


class TensorboardFiles(Tracker):
    """The event files of one sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self._folder = Path(sweep.folder) / FOLDER
        if self._folder.is_symlink():
            self._folder.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._metric = sweep.metric
        self._strings = {name for name, domain in sweep.space.items() if not _is_of(domain, (int, float))}
        self._flags = {name for name, domain in sweep.space.items() if _is_of(domain, (bool,))}
        self._open: dict[int, _Events] = {}
        self._tell_space(sweep)

    def trial(self, number: int, name: str, configuration: Mapping[str, Any], facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        self._open[number] = events = _Events(self._folder / f"trial-{number:04d}")
        self._start(events, name, configuration, at)

    def epoch(self, number: int, epoch: int, metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        for name, value in metrics.items():
            self._open[number].write({"tag": name, "simple_value": value}, at, epoch)

    def end(self, number: int, state: str, facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        events = self._open.pop(number)
        if "score" in facts:
            events.write({"tag": f"best/{self._metric}", "simple_value": facts["score"]}, at, facts["best_epoch"])
        self._stop(events, state != "failed", at)

    def final(self, trial: int, epochs: int, configuration: Mapping[str, Any], metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        events = _Events(self._folder / f"final-trial-{trial:04d}-{epochs}-epochs")
        for name, value in metrics.items():
            events.write({"tag": name, "simple_value": value}, at, epochs)
        events.close()

    def over(self) -> None:
        """See `Tracker`. Files of events say nothing of it."""

    def close(self) -> None:
        """See `Tracker`."""
        for events in self._open.values():
            events.close()

    def _tell_space(self, sweep: Sweep) -> None:
        from google.protobuf.struct_pb2 import ListValue
        from tensorboard.plugins.hparams import api_pb2

        infos = []
        for name, domain in sweep.space.items():
            kind = "DATA_TYPE_BOOL" if name in self._flags else "DATA_TYPE_STRING" if name in self._strings else "DATA_TYPE_FLOAT64"
            info = api_pb2.HParamInfo(name=name, type=getattr(api_pb2, kind), description=str(domain.get("help") or ""))
            if "low" in domain:
                info.domain_interval.min_value, info.domain_interval.max_value = domain["low"], domain["high"]
            else:
                values = ListValue()
                values.extend([self._as_hparam(name, value) for value in _choices(domain)])
                info.domain_discrete.CopyFrom(values)
            infos.append(info)
        shown = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=tag) for tag in (f"best/{sweep.metric}", sweep.metric)]
        experiment = api_pb2.Experiment(name=sweep.name, hparam_infos=infos, metric_infos=shown, time_created_secs=time.time())
        events = _Events(self._folder)
        self._plugin(events, "experiment", experiment, time.time())
        events.close()

    def _start(self, events: _Events, name: str, configuration: Mapping[str, Any], at: float) -> None:
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

        started = SessionStartInfo(group_name=name, start_time_secs=at)
        for key, value in configuration.items():
            converted = self._as_hparam(key, value)
            field = "bool_value" if isinstance(converted, bool) else "string_value" if isinstance(converted, str) else "number_value"
            setattr(started.hparams[key], field, converted)
        self._plugin(events, "session_start_info", started, at)

    def _stop(self, events: _Events, well: bool, at: float) -> None:
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo

        status = api_pb2.STATUS_SUCCESS if well else api_pb2.STATUS_FAILURE
        self._plugin(events, "session_end_info", SessionEndInfo(status=status, end_time_secs=at), at)
        events.close()

    def _plugin(self, events: _Events, what: str, message: Any, at: float) -> None:
        from tensorboard.plugins.hparams import metadata
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        about = metadata.create_summary_metadata(HParamsPluginData(**{what: message}))
        events.write({"tag": f"_hparams_/{what}", "metadata": about, "tensor": metadata.NULL_TENSOR}, at)

    def _as_hparam(self, name: str, value: Any) -> Any:
        return str(value) if name in self._strings else value


def _choices(domain: Mapping[str, Any]) -> list[Any]:
    return list(domain["choices"]) if "choices" in domain else [domain["value"]] if "value" in domain else []


def _is_of(domain: Mapping[str, Any], types: tuple[type, ...]) -> bool:
    """Say whether each value of a hyperparameter is of these types; a truth value is no number beside real ones."""
    values = [domain["low"]] if "low" in domain else _choices(domain)
    flags = {isinstance(value, bool) for value in values}
    return len(flags) == 1 and all(isinstance(value, types) for value in values)


def open_tracker(sweep: Sweep) -> TensorboardFiles:
    """Return the tracker of a sweep."""
    return TensorboardFiles(sweep)
