"""The packages whose classes a run's configuration may name."""

from __future__ import annotations

import os
import sys
from importlib.metadata import Distribution, entry_points

_OURS = frozenset({"nerfstudio", "nvs_eval", "nvs_eval_nerfstudio"})
_GROUPS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
_VARIABLES = ("NERFSTUDIO_METHOD_CONFIGS", "NERFSTUDIO_DATAPARSER_CONFIGS")


def admitted_packages() -> frozenset[str]:
    """Return the packages whose classes a configuration may name: nerfstudio, nvs-eval and registered plugins."""
    names = set(_OURS)
    for point in (point for group in _GROUPS for point in entry_points(group=group)):
        names.add(point.module.split(".")[0])
        if point.dist is not None:
            names |= _top_level(point.dist)
    for definition in (part for name in _VARIABLES for part in os.environ.get(name, "").split(",")):
        names.add(definition.partition("=")[2].split(":")[0].split(".")[0].strip())
    return frozenset(name for name in names if name.isidentifier() and name not in sys.stdlib_module_names)


def _top_level(distribution: Distribution) -> set[str]:
    if names := (distribution.read_text("top_level.txt") or "").split():
        return set(names)
    return {file.parts[0].removesuffix(".py") for file in distribution.files or () if file.suffix == ".py"}
