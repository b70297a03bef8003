"""A nerfstudio method of your own whose evaluation also returns the scores of nvs-eval.

    export NERFSTUDIO_METHOD_CONFIGS="small-nvs=examples.training_hook:small_nvs"
    ns-train small-nvs --data DATA --vis tensorboard

In a package, use an entry point in the group `nerfstudio.method_configs` instead of the environment variable.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from nerfstudio.configs.method_configs import method_configs
from nerfstudio.plugins.types import MethodSpecification

from nvs_eval_nerfstudio.hook import with_nvs_eval

small: Any = deepcopy(method_configs["nerfacto"])
small.pipeline.model.hidden_dim = 32

small_nvs = MethodSpecification(
    with_nvs_eval(small, method_name="small-nvs"), description="A small nerfacto, scored by nvs-eval."
)
