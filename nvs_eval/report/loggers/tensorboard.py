"""TensorBoard: one event file per record, named after it, so that logging it again replaces the file.

A complete record also takes the place of the incomplete one of the same result.

A file has the scalars `<protocol>/<metric>`, and the text `<protocol>/protocol` on how they were computed.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from nvs_eval.errors import counted
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import safe_name
from nvs_eval.report.loggers.runs import LoggedRecord, Sink, missing_package
from nvs_eval.system.files import write_whole

_DT_STRING = 7


def open_sink() -> Sink:
    """Return the sink that writes event files for TensorBoard.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: F401
    except ImportError as error:
        raise missing_package("tensorboard", error) from error
    return _log


def _log(runs: Sequence[Sequence[LoggedRecord]]) -> list[str]:
    records = [logged for run in runs for logged in run]
    for logged in records:
        write_whole(event_file(logged), lambda file, logged=logged: _write(file, logged))
        if not logged.record.failed and (earlier := _file(logged, logged.label_of_incomplete)).exists():
            earlier.unlink(missing_ok=True)
    folders = dict.fromkeys(logged.folder for logged in records)
    return [f"TensorBoard: tensorboard --logdir {folder}" for folder in folders]


def event_file(logged: LoggedRecord) -> Path:
    """Return the event file of a record: `<folder>/<scene>/<method>[/<run>]/events.out.tfevents.<step>...`.

    TensorBoard reads the files of a run in the order of their names, and so of the steps.
    """
    return _file(logged, logged.label)


def _file(logged: LoggedRecord, label: str) -> Path:
    record = logged.record
    folder = logged.folder / record.id.folder
    folder = folder if record.step_name else folder.parent
    return folder / f"events.out.tfevents.{logged.step:010d}.{safe_name(label)}"


def _write(file: BinaryIO, logged: LoggedRecord) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    make_event, summary = _messages("event").Event, _messages("summary").Summary
    # The time of scoring, so that the same record makes the same bytes.
    time = _time(logged.record)
    values = [summary.Value(tag=tag, simple_value=value) for tag, value in logged.scalars.items()]
    writer = RecordWriter(file)
    values.append(_text(f"{logged.label}/protocol", _description(logged.record)))
    for content in ({"file_version": "brain.Event:2"}, {"step": logged.step, "summary": summary(value=values)}):
        writer.write(make_event(wall_time=time, **content).SerializeToString())


def _messages(name: str) -> Any:
    """Import the module of a protocol buffer of TensorBoard, whose types are created on import."""
    return importlib.import_module(f"tensorboard.compat.proto.{name}_pb2")


def _time(record: Record) -> float:
    try:
        return datetime.fromisoformat(record.provenance["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _description(record: Record) -> str:
    protocol = f"protocol {record.protocol_title} ({record.fingerprint}), {counted(len(record.views), 'view')}"
    lines = [protocol, *(info.signature for info in record.metrics.values())]
    return "\n".join(f"    {line}" for line in lines)


def _text(tag: str, text: str) -> Any:
    summary = _messages("summary")
    plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
    content = [text.encode("utf-8", "backslashreplace")]
    tensor = _messages("tensor").TensorProto(dtype=_DT_STRING, string_val=content)
    return summary.Summary.Value(tag=tag, metadata=summary.SummaryMetadata(plugin_data=plugin), tensor=tensor)
