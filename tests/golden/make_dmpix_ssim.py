"""What dm_pix says of the pairs, in float64: writes dmpix_ssim.json beside this file.

dm_pix needs JAX, which the tests do without. In an environment of its own:

    pip install dm-pix==0.4.5 'jax[cpu]' scikit-image && PYTHONPATH=tests python tests/golden/make_dmpix_ssim.py
"""

# pyright: reportMissingImports=false
import json
from pathlib import Path

import dm_pix
import jax
import numpy as np
from pairs import array_pairs

jax.config.update("jax_enable_x64", True)

values = {
    name: float(dm_pix.ssim(reference.astype(np.float64), render.astype(np.float64)))
    for name, (reference, render) in array_pairs().items()
}
golden = {"made_by": f"dm_pix {dm_pix.__version__}, jax {jax.__version__}, float64, max_val=1", "values": values}
Path(__file__).with_name("dmpix_ssim.json").write_text(json.dumps(golden, indent=1) + "\n")
