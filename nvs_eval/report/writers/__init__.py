"""Tables as text, Markdown, LaTeX, CSV, JSON and HTML: one module a format, each a function of one shape."""

from nvs_eval.report.writers.registry import FORMATS as FORMATS
from nvs_eval.report.writers.registry import Style as Style
from nvs_eval.report.writers.registry import Writer as Writer
from nvs_eval.report.writers.registry import find_writer as find_writer
