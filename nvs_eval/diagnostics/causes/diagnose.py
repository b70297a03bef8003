"""Causes of records: found from the kept images, view by view, and written beside each record."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nvs_eval.diagnostics.causes.options import DiagnoseOptions
from nvs_eval.diagnostics.causes.view import diagnose_view
from nvs_eval.diagnostics.causes.words import run_words, view_words
from nvs_eval.diagnostics.verify.pair import Pair, prepare
from nvs_eval.errors import InputError, counted, quoted
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.kept_images import KeptImages
from nvs_eval.evaluation.kept_renders import Result
from nvs_eval.images.pixels import sha256_of_mask
from nvs_eval.records.causes import Causes, ViewCauses, causes_file, read_causes, sha256_of_result, write_causes
from nvs_eval.records.files import read_record_files
from nvs_eval.records.record import Record
from nvs_eval.records.schema import ViewRow
from nvs_eval.system.files import check_writable

_THREADS = 2


@dataclass(frozen=True)
class Diagnosis:
    """Causes of the error of a record.

    Attributes:
        file: file of the record.
        record: content of the file.
        causes: causes of the run and of each view.
        written: file of the causes; None if it existed and is up to date.
    """

    file: Path
    record: Record
    causes: Causes
    written: Path | None

    @property
    def words(self) -> list[str]:
        """Sentences on the run."""
        return self.causes.words

    def to_plain(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values."""
        return {"record": str(self.file), **msgspec.to_builtins(self.causes)}


def diagnose(options: DiagnoseOptions, callbacks: Callbacks) -> Iterator[Diagnosis]:
    """Yield the causes of each record, once they are written.

    Raises:
        InputError: no record was found, no image of a record was kept unchanged, or a file cannot be written.
    """
    files = read_record_files(options.records, protocol=options.protocol)
    for file, record in files:
        if record.suite is not None:
            raise InputError(
                f"{file} has the records of many scenes, which cannot be diagnosed. Name records of single scenes."
            )
    todo: list[tuple[Path, Record, Causes | None]] = []
    for file, record in files:
        known = None if options.overwrite else read_causes(file, record)
        # Causes of a part of the views are completed once the other images are there again.
        todo.append((file, record, None if known is not None and known.missing else known))
        if todo[-1][-1] is None:
            check_writable(causes_file(file))
    count = sum(len(record.views) for _, record, known in todo if known is None)
    with callbacks.progress("Diagnosing views", count) as advance:
        for file, record, known in todo:
            if known is not None:
                yield Diagnosis(file, record, known, None)
                continue
            causes = _causes(Result(file, record), advance)
            yield Diagnosis(file, record, causes, write_causes(file, causes))


def _causes(result: Result, advance: object) -> Causes:
    record, images = result.record, KeptImages(result)
    assert callable(advance)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            futures = {row.name: pool.submit(_view, images, row) for row in record.views}
            views: dict[str, ViewCauses] = {}
            missing: dict[str, str] = {}
            for name, future in futures.items():
                try:
                    views[name] = future.result()
                except InputError as error:
                    missing[name] = str(error)
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not views:
        (reason, *_), others = dict.fromkeys(missing.values()), len(missing) - 1
        more = f" The same is true of {counted(others, 'more view')}." if others else ""
        raise InputError(f"{result.file} cannot be diagnosed: {reason}{more}")
    for name, causes in views.items():
        causes.words = view_words(causes)
        views[name] = causes
    words = run_words(views, {row.name: row for row in record.views})
    return Causes(1, sha256_of_result(record), views, missing, words, version("nvs-eval"))


def _view(images: KeptImages, row: ViewRow) -> ViewCauses:
    pair = Pair(images.reference(row).numpy(), images.render(row).numpy(), _mask(images.result, row))
    prepared = prepare(pair, images.result.record.protocol["definition"])
    if not np.isfinite(prepared.render).all():
        raise InputError(f"the render of view {quoted(row.name)} has values that are not finite.")
    return diagnose_view(prepared.reference, prepared.render, prepared.mask)


def _mask(result: Result, row: ViewRow) -> np.ndarray | None:
    if row.scored_mask is None or result.masks is None:
        return None
    mask = result.masks.load(row.name)
    if sha256_of_mask(mask) != row.scored_mask:
        raise InputError(f"{result.file}: the mask of view {quoted(row.name)} has changed. Score it again.")
    return mask.numpy()
