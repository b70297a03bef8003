"""Records on their way to the output folder: what is checked before any long work, and how they are written."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import Callbacks, ScoringOptions
from nvs_eval.protocols import Protocol
from nvs_eval.records.record import Record, read_record, record_file, record_name, write_record
from nvs_eval.records.result_id import ResultId


def check_not_replaced(ids: Sequence[ResultId], protocols: Sequence[Protocol], options: ScoringOptions) -> None:
    """Check that no record with masks would replace one without, or the reverse.

    Raises:
        InputError: a record would be replaced; the message names it.
    """
    if options.output_dir is None or options.overwrite:
        return
    for result, protocol in itertools.product(ids, protocols):
        file = options.output_dir / result.folder / record_name(protocol.name, protocol.fingerprint)
        try:
            record = read_record(file)
        except InputError:
            continue  # There is none, or none that could be read.
        masked = any(row.coverage is not None for row in record.views)
        if masked != (options.masked and protocol.takes_masks):
            raise InputError(
                f"{file} was scored {'with' if masked else 'without'} masks, and would be replaced: say another "
                "`--output-dir`, or `--overwrite`."
            )


def write_records(records: Iterable[Record], output_dir: Path | None, callbacks: Callbacks) -> None:
    """Write records to their places below a folder, and say where; None for a folder writes nothing.

    Raises:
        InputError: a record cannot be written.
    """
    if output_dir is None:
        return
    for record in records:
        path = record_file(record, output_dir)
        write_record(path, record)
        callbacks.say(f"Record: {shlex.quote(str(path))}")
