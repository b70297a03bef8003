"""The hooked methods `nerfacto-nvs` and `splatfacto-nvs`.

nerfstudio loads this module by entry point while its registry is only partly imported. Other modules must not import
it, and of the registry only `method_configs`, which is complete by then, may be used here.
"""

from __future__ import annotations

from nerfstudio.configs.method_configs import method_configs
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.plugins.types import MethodSpecification

from nvs_eval_nerfstudio.hook import with_nvs_eval


def _hooked(name: str) -> MethodSpecification:
    config = method_configs[name]
    assert isinstance(config, TrainerConfig)
    return MethodSpecification(
        config=with_nvs_eval(config, method_name=f"{name}-nvs"), description=f"{name}, also evaluated by nvs-eval."
    )


nerfacto_nvs = _hooked("nerfacto")
splatfacto_nvs = _hooked("splatfacto")
