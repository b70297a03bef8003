"""Evaluation of a suite by the workers of an engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.executors.claims import new_claims
from nvs_eval.evaluation.executors.options import ExecutorOptions
from nvs_eval.evaluation.executors.spread import Pool, Show, Spread
from nvs_eval.evaluation.executors.worker import Task
from nvs_eval.evaluation.options import SuiteOptions
from nvs_eval.evaluation.suite import IN_LINES, SuiteResult, SuiteRun
from nvs_eval.records.record import read_record

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite_entries import Entry
    from nvs_eval.records.record import Record


def evaluate_spread(
    suite: SuiteRun, options: ExecutorOptions, callbacks: Callbacks, prepare: Callable[[], object], show: Show
) -> SuiteResult:
    """Evaluate the chosen cells of a suite whose inputs exist, by workers.

    Args:
        suite: the suite. Renders that are scored already are skipped; of runs, workers find what is finished.
        options: the engine and its workers.
        callbacks: callbacks for messages, and the command line.
        prepare: called by each worker before torch is imported.
        show: called with the state, about once a second.

    Raises:
        InputError: the engine is not available or refuses the work, the first cell failed on a cluster, or the records
            of the suite are lines of one file.
    """
    if suite.lines is not None:
        raise InputError(f"--executor {IN_LINES}")
    by_cell = {entry.cell: entry for entry in suite.chosen if not entry.is_missing}
    with callbacks.wait("Looking for finished work."):
        waiting = [cell for cell, entry in by_cell.items() if not _is_scored(entry)]
    claims = new_claims(suite.output_dir)
    plain = SuiteOptions(**{field.name: getattr(suite.options, field.name) for field in fields(SuiteOptions)})
    common = (plain, claims.owner, callbacks.command, os.getcwd(), version("nvs-eval"), prepare)
    tasks = [Task(cell, *common) for cell in waiting]
    outcomes = Spread(tasks, open_pool(options, suite, len(tasks)), claims, show).run() if tasks else {}
    by_entry: dict[Entry, list[Record]] = {}
    failures: dict[str, list[Entry]] = {}
    for cell, outcome in outcomes.items():
        entry, reasons = by_cell[cell], [*outcome.reasons]
        try:
            by_entry[entry] = [read_record(Path(path)) for path in outcome.records]
        except InputError as error:
            by_entry[entry], reasons = [], [*reasons, str(error)]
        for reason in reasons:
            failures.setdefault(reason, []).append(entry)
    return suite.result(by_entry, failures)


def open_pool(options: ExecutorOptions, suite: SuiteRun, count: int) -> Pool:
    """Return the workers of an engine, at most as many as there are cells.

    Raises:
        InputError: the engine is not available.
    """
    if options.executor == "slurm":
        from nvs_eval.evaluation.executors.slurm import SlurmPool

        return SlurmPool(options, suite.output_dir, count)
    if options.executor == "ray":
        from nvs_eval.evaluation.executors.ray import RayPool

        return RayPool(options, count)
    from nvs_eval.evaluation.executors.local import LocalPool, local_settings

    settings = local_settings(options.jobs, {entry.options.device for entry in suite.chosen})
    return LocalPool(settings[:count])


def _is_scored(entry: Entry) -> bool:
    try:
        return entry.is_scored and entry.is_done()
    except InputError:
        return False  # The worker reports it.
