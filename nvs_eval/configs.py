"""Where the YAML files that ship with nvs-eval lie."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """The folder `configs`: inside the package where it was installed from a wheel, else at the checkout's root."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"
