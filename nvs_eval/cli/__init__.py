"""The command line, with one module per command. Only this package prints or exits.

Modules of commands import nothing heavy, so that `nvs-eval --help` is fast.
"""

from nvs_eval.cli.main import main as main
