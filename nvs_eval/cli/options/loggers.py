"""The options of commands that log scores to other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nvs_eval.records.record import Record
    from nvs_eval.report.loggers import Sink


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Where scores go besides their records."""

    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Log the scores to TensorBoard or Weights & Biases too, at the checkpoints' steps."""
    log_dir: Path | None = None
    """Where TensorBoard's files are written; else the folder `tensorboard` beside the scenes of the records."""

    def sinks(self) -> dict[str, Sink]:
        """What to log to, opened before any long work.

        Raises:
            InputError: what one needs is not there.
        """
        from nvs_eval.report.loggers import open_sinks

        return open_sinks(self.log)

    def log_records(self, sinks: Mapping[str, Sink], records: Iterable[tuple[Path, Record]]) -> None:
        """Log records, after they are written and shown.

        Args:
            sinks: of `sinks`.
            records: each with the output folder that it lies in.

        Raises:
            InputError: a sink failed, which harms no record.
        """
        from nvs_eval.cli.console import say
        from nvs_eval.report.loggers import log_runs
        from nvs_eval.report.loggers.runs import LoggedRecord, runs_of

        if sinks:
            logged = [LoggedRecord(record, self.log_dir or root / "tensorboard") for root, record in records]
            log_runs(sinks, runs_of(logged), say=say)
