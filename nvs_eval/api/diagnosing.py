"""The function `diagnose`. It prints nothing. Modules that need torch are imported by the function itself."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from nvs_eval.api.scoring import filled
from nvs_eval.diagnostics.causes.options import DiagnoseOptions
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.system.arguments import checked, documented

if TYPE_CHECKING:
    from nvs_eval.diagnostics.causes.diagnose import Diagnosis

FilePath = str | PathLike[str]


@checked
@documented(DiagnoseOptions)
def diagnose(
    records: FilePath | Sequence[FilePath], *, protocol: str | Sequence[str] = (), overwrite: bool = False
) -> list[Diagnosis]:
    """Split the error of each view into causes, as `nvs-eval diagnose` does, and write them beside the records.

    Returns:
        A diagnosis per record. `.words` has sentences on the run, and `.causes.views` the causes of each view: their
        `.decibels`, amounts and `.words`. `.causes.missing` has the views whose images were not kept or have changed.

    Raises:
        InputError: No record was found, none of its images was kept unchanged, or the causes cannot be written.
    """
    options = filled(DiagnoseOptions, locals())
    from nvs_eval.diagnostics.causes.diagnose import diagnose as diagnose_records

    return list(diagnose_records(options, Callbacks(command=("nvs_eval.diagnose",))))
