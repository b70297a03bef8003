"""`python -m nvs_eval`: the command line."""

import sys

from nvs_eval.cli import main

sys.exit(main())
