"""Reports on the references of trained runs and of records, and warnings of what makes their numbers doubtful.

Nothing here scores, renders or changes anything. A new warning is one function that yields findings, listed in
`WARNINGS`: in `run` for the data of a trained run, in `record` for a record. What both say of image files lies in
`findings`; the plugin of a tool fills a `RunData`.
"""

from nvs_eval.diagnostics.inspection.findings import Finding as Finding
from nvs_eval.diagnostics.inspection.findings import Inspection as Inspection
from nvs_eval.diagnostics.inspection.inspectors import find_inspector as find_inspector
from nvs_eval.diagnostics.inspection.inspectors import inspect as inspect
from nvs_eval.diagnostics.inspection.run import DataView as DataView
from nvs_eval.diagnostics.inspection.run import RunData as RunData
