"""Logging of scores to other tools, with one module per tool. The tools are optional."""

from nvs_eval.report.loggers.runs import Sink as Sink
from nvs_eval.report.loggers.runs import log_runs as log_runs
from nvs_eval.report.loggers.runs import open_sinks as open_sinks
