"""Reading of YAML files of plain data, such as protocols and suites.

This module does not import torch or numpy, so that tables appear without delay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from nvs_eval.errors import InputError, unknown_name

T = TypeVar("T")


def config_folder() -> Path:
    """Return the folder `configs`: inside the package if installed from a wheel, or at the root of the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def named_files(folder: str) -> dict[str, Path]:
    """Return the YAML files in a folder of `configs`, by name."""
    return {path.stem: path for path in sorted((config_folder() / folder).glob("*.yaml"))}


def find_file(name_or_path: str | Path, kind: str, known: Mapping[str, Path]) -> Path:
    """Return the file with a name, or the path itself if it ends in .yaml or .yml.

    Raises:
        InputError: it is neither. The message lists the known names and suggests the closest.
    """
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    raise InputError(f"{unknown_name(kind, str(name_or_path), known)} A path must end in .yaml.")


def read_as(path: Path, kind: str, parse: Callable[[object], T]) -> T:
    """Read and parse a YAML file.

    Args:
        path: path of the file.
        kind: noun for the content in messages, such as "suite".
        parse: converts the plain data. Its errors are prefixed with the file's name.

    Raises:
        InputError: the file cannot be read, is not YAML, or has invalid content.
    """
    from nvs_eval.system.bounded_yaml import UniqueKeyLoader, read_yaml

    what = f"The {kind} file {path}"
    text = read_yaml(path, what)
    try:
        return parse(UniqueKeyLoader(text).load())
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except ValueError as error:  # Text that is not YAML, or an impossible date.
        raise InputError(f"{what} is not YAML: {error}") from error
