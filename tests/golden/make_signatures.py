"""What each metric of each protocol, named or made up, says of views made by a formula: writes signatures.json.

A value may change only with its signature: the metric's version, last in it, is there for that. Needs the weights of
LPIPS (`nvs-eval weights` says whether they are there). From the root of the repository:

    PYTHONPATH=tests python tests/golden/make_signatures.py
"""

import json
from importlib.metadata import version
from pathlib import Path

from support.formula import Values, said
from support.protocols import made_up_protocols

from nvs_eval.protocols import load_protocol, named_protocols

values: Values = {}
for protocol in [*map(load_protocol, named_protocols()), *made_up_protocols().values()]:
    for signature, numbers in said(protocol, list(protocol.metrics)).items():
        known = values.setdefault(signature, numbers)
        assert all(abs(known[view] - number) < 1e-6 for view, number in numbers.items()), signature
golden = {"made_by": f"torch {version('torch')}, on the CPU", "values": dict(sorted(values.items()))}
Path(__file__).with_name("signatures.json").write_text(json.dumps(golden, indent=1) + "\n")
