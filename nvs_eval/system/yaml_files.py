"""YAML files of plain data, read the same way whatever they describe.

Nothing here imports torch or numpy, so that a table is there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nvs_eval.errors import InputError, unknown_name

T = TypeVar("T")


def config_folder() -> Path:
    """The folder `configs`: inside the package where it was installed from a wheel, else at the checkout's root."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def named_files(folder: str) -> dict[str, Path]:
    """The YAML files of a folder of `configs`, by name."""
    return {path.stem: path for path in sorted((config_folder() / folder).glob("*.yaml"))}


def find_file(name_or_path: str | Path, kind: str, known: Mapping[str, Path]) -> Path:
    """The file of a name, or the path itself where it ends in .yaml.

    Raises:
        InputError: neither; the message lists the known names and the nearest.
    """
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    raise InputError(f"{unknown_name(kind, str(name_or_path), known)} A file of your own must end in .yaml.")


def read_as(path: Path, kind: str, parse: Callable[[object], T]) -> T:
    """What a YAML file describes.

    Args:
        path: of the file.
        kind: what it is said to be in messages, such as `suite`.
        parse: makes it of the plain data; its errors are given the file's name.

    Raises:
        InputError: the file cannot be read, is not YAML, or is not what it should be.
    """
    import yaml

    try:
        return parse(_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"The {kind} file {path} cannot be read: {error.strerror}.") from error
    except InputError as error:
        raise InputError(f"The {kind} file {path}: {error}") from error
    # An impossible date is a plain ValueError in PyYAML, and so is text that is not UTF-8.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"The {kind} file {path} is not YAML: {error}") from error


def _load(text: str) -> object:
    import yaml

    class OnceEach(yaml.SafeLoader):
        """YAML in which no key is given twice: PyYAML keeps the last one, and says nothing."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            known: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in known:
                    line = key.start_mark.line + 1
                    raise InputError(f"{key.value} is given twice, the second time in line {line}: leave one out.")
                known.add((key.tag, str(key.value)))
            return super().construct_mapping(node, deep=deep)

    # It makes nothing but plain data, as the safe loader that it is.
    return yaml.load(text, Loader=OnceEach)
