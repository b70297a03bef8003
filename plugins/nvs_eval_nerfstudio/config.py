"""A trained run's `config.yml`, read without trusting it; and nerfstudio itself, imported as it needs to be."""

from __future__ import annotations

import os
import sys
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from nvs_eval.errors import InputError
from nvs_eval_nerfstudio.config_loader import ConfigLoader
from nvs_eval_nerfstudio.quiet import quiet

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

_OURS = frozenset({"nerfstudio", "nvs_eval", "nvs_eval_nerfstudio"})
_GROUPS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
_VARIABLES = ("NERFSTUDIO_METHOD_CONFIGS", "NERFSTUDIO_DATAPARSER_CONFIGS")


def load_config(path: Path) -> TrainerConfig:
    """Load the configuration of a trained nerfstudio run from its `config.yml`.

    Fields that the file lacks, because an older nerfstudio wrote it, get their defaults; fields that the class no
    longer has stay attributes, as nerfstudio's own loader leaves them.

    Args:
        path: `config.yml` that nerfstudio wrote into the run's folder.

    Raises:
        InputError: nerfstudio is not installed, the file cannot be read or is no configuration of a run, or it names
            a class that is not installed or not admitted.
    """
    text = _read(path)
    import_nerfstudio()
    from nerfstudio.engine.trainer import TrainerConfig

    try:
        config = ConfigLoader(path, text, admitted_packages()).get_single_data()
    except InputError:
        raise
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: it is not valid YAML: {reason}") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # Values that contradict their own tag (!!int x, a list as a key) surface as whatever the conversion raises.
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: {error!r} while reading it.") from error
    if not isinstance(config, TrainerConfig):
        content = "nothing" if config is None else f"a {type(config).__name__}"
        raise InputError(
            f"{path} is not the config.yml of a nerfstudio run: it holds {content}, needed a TrainerConfig. "
            "Give the config.yml that ns-train wrote into the run's folder."
        )
    return config


def import_nerfstudio() -> None:
    """Import nerfstudio and its plugins, in the one order that works: its registry of methods first.

    Raises:
        InputError: nerfstudio is not installed, or a module that it or a plugin needs is not.
    """
    try:
        with quiet():
            import nerfstudio.configs.method_configs  # noqa: F401
    except ImportError as error:
        if error.name == "nerfstudio":
            raise InputError(
                "A nerfstudio run needs nerfstudio, which is not installed: pip install 'nvs-eval[nerfstudio]'."
            ) from error
        raise InputError(
            f"nerfstudio, or a method registered with it, cannot be imported: {error}. Install what is missing, or "
            "uninstall that method."
        ) from error


def admitted_packages() -> frozenset[str]:
    """Return the packages whose classes a configuration may name: nerfstudio's, ours, and registered plugins'."""
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


def _read(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the config.yml of a nerfstudio run, such as {path / 'config.yml'}.")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; give the config.yml of a nerfstudio run.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not the config.yml of a nerfstudio run: it is not text.") from error
