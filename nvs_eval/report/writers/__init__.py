"""Writers of tables: text, Markdown, LaTeX, CSV, JSON and HTML, with one module and one function per format."""

from nvs_eval.report.writers.registry import FORMATS as FORMATS
from nvs_eval.report.writers.registry import Style as Style
from nvs_eval.report.writers.registry import Writer as Writer
from nvs_eval.report.writers.registry import find_writer as find_writer
