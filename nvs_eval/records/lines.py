"""Files with the records of many scenes, one per line.

    <dir>/<suite>/<method>[/<run>]/<step or final>/<protocol>-<fingerprint>.jsonl

A line that ends in a newline is a finished scene. An interruption can cut off the text after the last newline, which is
not read. The last of several lines of one result counts.
"""

from __future__ import annotations

import json
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, checked_record, to_plain
from nvs_eval.records.result_id import ResultId
from nvs_eval.records.schema import NoRecordError, decode_stored, read_content

MOST_LINES_BYTES = 2**32
_LONGEST_LINE = 2**26


def line_of(record: Record) -> bytes:
    """Return the line of a record, without its newline."""
    text = json.dumps(to_plain(record), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def read_record_lines(file: Path) -> dict[ResultId, tuple[bytes, Record]]:
    """Read a file with one record per line: each record with its line, in the order of the file.

    Raises:
        NoRecordError: the first line is JSON without a schema_version, or the file has no whole line.
        InputError: the file cannot be read, or a line is not a record. The message names the line.
    """
    *lines, _ = read_content(file, MOST_LINES_BYTES).split(b"\n")
    if not lines:
        raise NoRecordError(f"{file} has no record: a whole line is the record of a scene.")
    records: dict[ResultId, tuple[bytes, Record]] = {}
    for number, line in enumerate(lines, 1):
        name = f"{file}, line {number}"
        if len(line) > _LONGEST_LINE:
            raise InputError(f"{name} must have at most {_LONGEST_LINE} bytes. It is damaged, or no record.")
        try:
            record = checked_record(decode_stored(line, name), name)
        except NoRecordError as error:
            raise error if number == 1 else InputError(str(error)) from error
        records.pop(record.id, None)
        records[record.id] = (line, record)
    return records
