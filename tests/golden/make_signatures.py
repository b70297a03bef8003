"""Write signatures.json: the score of each metric of each named or synthetic protocol on computed views.

A value may change only together with its signature, which ends with the version of the metric. Requires the weights of
LPIPS (see `nvs-eval weights`). Run from the root of the repository:

    PYTHONPATH=tests python tests/golden/make_signatures.py
"""

import json
from importlib.metadata import version
from pathlib import Path

from support.formula import Values, signature_scores
from support.protocols import made_up_protocols

from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.system.yaml_files import config_folder

values: Values = {}
for protocol in [*map(load_protocol, named_protocols()), *made_up_protocols().values()]:
    for signature, numbers in signature_scores(protocol, list(protocol.metrics)).items():
        before = values.setdefault(signature, numbers)
        assert all(abs(before[view] - number) < 1e-6 for view, number in numbers.items()), signature
golden = {"made_by": f"torch {version('torch')}, on the CPU", "values": dict(sorted(values.items()))}
Path(__file__).with_name("signatures.json").write_text(json.dumps(golden, indent=1) + "\n")

# The signatures of named protocols, which published numbers are compared by.
named = {protocol.fingerprint: protocol.signatures for protocol in map(load_protocol, named_protocols())}
(config_folder() / "signatures.json").write_text(json.dumps(named, indent=1) + "\n")
