"""Folders of caches that libraries would otherwise make in the home folder in passing."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from nvs_eval.system.cache import cache_root

# Environment variables of folders that a library fills by itself, and that no user looks for. Folders of downloads, of
# settings and of compiled extensions stay where they are.
_LIBRARIES = {
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "NUMBA_CACHE_DIR": "numba",
    "WANDB_CACHE_DIR": "wandb",
    "WANDB_DATA_DIR": "wandb-data",
}
# Without a home folder, libraries would make one called `~` in the working directory.
_HOMELESS = {"TORCH_HOME": "torch", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}


@functools.cache
def temporary_cache() -> Path:
    """Return a cache that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="nvs-eval-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def redirect_caches() -> None:
    """Let libraries write to our cache what they write in passing, unless the user's environment says where.

    If our cache cannot be written, they write to a temporary folder.
    """
    variables = dict(_LIBRARIES)
    if not os.path.isabs(os.path.expanduser("~")):
        variables |= _HOMELESS
    missing = [variable for variable in variables if not os.environ.get(variable)]
    if missing:
        root = cache_root()
        folder = root if root and _is_writable(root) else temporary_cache()
        os.environ.update({variable: str(folder / "libraries" / variables[variable]) for variable in missing})


def _is_writable(folder: Path) -> bool:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
