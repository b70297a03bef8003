"""Scores sent to other tools besides their records: one module a tool, none of which is needed for anything else."""

from nvs_eval.report.loggers.runs import Sink as Sink
from nvs_eval.report.loggers.runs import log_runs as log_runs
from nvs_eval.report.loggers.runs import open_sinks as open_sinks
