"""`nvs-eval verify`: a second opinion on records, or on this installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.diagnostics.verify.record import Report
    from nvs_eval.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Verify records, or without one this installation.

    The scores of some views of each record are computed again from the kept images, by scikit-image in float64 and the
    lpips package instead of nvs-eval's own metrics. Without a record, the weights, known answers and the device are
    checked on images made for it. Exits with 1 where something is not confirmed, else with 2 where something could not
    be found out.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="[RECORD|DIR|GLOB ...]")] = ()
    """Records, folders of records, or patterns; none for this installation."""
    views: int | None = None
    """How many views of each record, spread evenly over them; 5 if not said."""
    all: bool = False
    """All views."""
    weights_dir: Path | None = None
    """A folder to look for LPIPS backbones first (else the environment variable NVS_EVAL_WEIGHTS)."""
    device: str = "auto"
    """What to compare with the CPU, without a record: auto, cpu, cuda, cuda:1, ..."""

    def run(self) -> int:
        """Print what was found to stdout.

        Returns:
            The exit code: 0 confirmed, 1 not, 2 where it could not be found out.

        Raises:
            InputError: there is no such record, or the images of the only one were not kept.
        """
        if self.views is not None and (self.all or self.views < 1):
            raise InputError(
                f"--views is {self.views}{' beside --all' if self.all else ''}: say how many views, at least 1, or "
                "`--all` in its place."
            )
        if self.records:
            return self._verify_records()
        if self.views is not None or self.all:
            raise InputError("--views and --all are about a record, and none was named: `nvs-eval verify RECORD`.")
        return self._verify_installation()

    def _verify_records(self) -> int:
        from nvs_eval.records.files import read_record_files

        found = read_record_files(self.records, copies=True)
        if len(found) == 1:
            return self._verify(*found[0])
        codes = [self._verdict(file, record) for file, record in found]
        # That a number is wrong is more than that another could not be looked at.
        return 1 if 1 in codes else max(codes)

    def _verdict(self, file: Path, record: Record) -> int:
        """The verdict on one of several records: that it cannot be verified keeps no other from being so."""
        try:
            return self._verify(file, record)
        except InputError as error:
            _print_lines(_heading(file, record, 0), "", str(error), "")
            return 2

    def _verify(self, file: Path, record: Record) -> int:
        from nvs_eval.cli.console import progress
        from nvs_eval.diagnostics.verify.record import SAMPLE, check_supported, spread, verify_record

        check_supported(record, file)  # Before any progress is shown.
        views = None if self.all else self.views or SAMPLE
        total = len(spread(record.views, views))
        with progress(f"Verifying {file.name}", total) as advance:
            report = verify_record(record, file, views=views, weights_dir=self.weights_dir, on_view=advance)
        _print(file, record, report)
        return 1 if report.refuted else 0 if report.complete else 2

    def _verify_installation(self) -> int:
        from nvs_eval.cli.console import results
        from nvs_eval.diagnostics.verify.installation import verify_installation
        from nvs_eval.diagnostics.verify.tables import installation_table
        from nvs_eval.system.devices import find_device

        checks = verify_installation(find_device(self.device), self.weights_dir)
        out = results()
        out.print(installation_table(checks.checks))
        out.print(checks.trust, markup=False, soft_wrap=True)
        return 0 if checks.right else 1


def _print(file: Path, record: Record, report: Report) -> None:
    from nvs_eval.cli.console import results
    from nvs_eval.diagnostics.verify.tables import sentences, table_of

    _print_lines(_heading(file, record, report.views), "")
    if report.compared or report.foreign:
        results().print(table_of(report))
    _print_lines(*sentences(report), "")


def _heading(file: Path, record: Record, views: int) -> str:
    return f"{file}: {views} of {len(record.views)} views, protocol {record.protocol_title} {record.fingerprint}"


def _print_lines(*lines: str) -> None:
    from nvs_eval.cli.console import results

    out = results()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
