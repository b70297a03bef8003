"""Reports on the references of trained runs and records, with warnings about anything that makes numbers doubtful.

Nothing here scores, renders or changes anything. To add a warning, write a function that yields findings and list it in
`WARNINGS`, in `run` for the data of a trained run and in `record` for a record. `findings` contains what both share
about image files. The plugin of a tool fills a `RunData`.
"""

from nvs_eval.diagnostics.inspection.findings import Finding as Finding
from nvs_eval.diagnostics.inspection.findings import Inspection as Inspection
from nvs_eval.diagnostics.inspection.inspectors import find_inspector as find_inspector
from nvs_eval.diagnostics.inspection.inspectors import inspect as inspect
from nvs_eval.diagnostics.inspection.run import DataView as DataView
from nvs_eval.diagnostics.inspection.run import RunData as RunData
from nvs_eval.diagnostics.inspection.run import split_findings as split_findings
