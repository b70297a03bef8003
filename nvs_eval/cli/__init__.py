"""The command line: one module a command; the only place that prints or exits.

The modules of the commands import nothing heavy, so that `nvs-eval --help` answers at once.
"""

from nvs_eval.cli.main import main as main
