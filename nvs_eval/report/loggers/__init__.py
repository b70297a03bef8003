"""Scores sent to other tools besides their records: one module a tool, none of which is needed for anything else."""

from nvs_eval.report.loggers.sinks import Sink as Sink
from nvs_eval.report.loggers.sinks import log_runs as log_runs
from nvs_eval.report.loggers.sinks import open_sinks as open_sinks
