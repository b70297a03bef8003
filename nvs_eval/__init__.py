"""nvs-eval: the referee for novel-view synthesis.

Importing this package imports neither torch nor nerfstudio: the public names below load on first use.
"""

from __future__ import annotations

import importlib
import importlib.metadata

__version__ = importlib.metadata.version("nvs-eval")

_HOMES: dict[str, str] = {}

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'nvs_eval' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
