"""Our cache folder, and the caches that libraries would otherwise make in the home folder in passing."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

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


def cache_folder() -> Path:
    """Return our cache: `nvs-eval` in `$XDG_CACHE_HOME` or `~/.cache`, or a temporary folder if there is no home."""
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "nvs-eval"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "nvs-eval" if os.path.isabs(home) else _temporary()


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nvs-eval-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def redirect_caches() -> None:
    """Let libraries write to our cache what they write in passing, unless the user's environment says where.

    If our cache cannot be written, they write to a temporary folder.
    """
    folder, variables = cache_folder(), dict(_LIBRARIES)
    if not os.path.isabs(os.path.expanduser("~")):
        variables |= _HOMELESS
    if not all(map(os.environ.get, variables)):
        folder = folder if _is_writable(folder) else _temporary()
    for variable, name in variables.items():
        if not os.environ.get(variable):
            os.environ[variable] = str(folder / "libraries" / name)


def _is_writable(folder: Path) -> bool:
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
