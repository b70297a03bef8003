"""Types of the fields of a loaded configuration, as its classes declare them.

YAML builds configurations without their constructors, so a field can have any value. nerfstudio would fail on it in the
middle of its work, or use it.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import TrainerConfig

# Fields of the run that nvs-eval uses. The others are of training and of the viewer, whose types changed over time.
_USED = ("data", "experiment_name", "method_name", "output_dir", "pipeline", "relative_model_dir", "timestamp")


def check_field_types(path: Path, config: TrainerConfig) -> None:
    """Check the fields of a run that evaluation uses, and all fields of its pipeline, data manager and model.

    Raises:
        InputError: a field has a value of another type. The message names it.
    """
    for name, value, hint in _fields(config, ""):
        if name.partition(".")[0] in _USED and not _fits(value, hint):
            kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            if isinstance(value, str | PurePath) and not _is_text(str(value)):
                kind = "a text without NUL and lone surrogates (halves of characters)"
            raise InputError(
                f"{path} is not the config.yml of a nerfstudio run: {name} must be {kind[:80]}. Got "
                f"{reprlib.repr(value)[:60]}."
            )


def _fields(config: Any, place: str, inside: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, value and declared type of each field of a configuration and of those in it."""
    try:
        hints = get_type_hints(type(config))
    except (NameError, TypeError, AttributeError):  # A plugin may annotate with names that exist for checkers only.
        hints = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "_target":
            continue  # The loader checks it.
        yield f"{place}{field.name}", value, hints.get(field.name, Any)
        is_part = dataclasses.is_dataclass(value) and not isinstance(value, type)
        if is_part and not any(value is outer for outer in (*inside, config)):  # An alias may repeat what contains it.
            yield from _fields(value, f"{place}{field.name}.", (*inside, config))


def _fits(value: Any, hint: Any) -> bool:
    from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

    if isinstance(value, DataParserConfig):
        return True  # The declared union lacks the data parsers of plugins that are registered later.
    if isinstance(value, str | PurePath) and not _is_text(str(value)):
        return False
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        return False
    return True


def _is_text(value: str) -> bool:
    """Return whether a text can be the name of a file: YAML also has escapes for NUL and lone surrogates."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
