"""Loading of plugins by entry point. Errors name the distribution of a broken plugin."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from nvs_eval.errors import InputError, unknown_name

_OWN = "nvs-eval"


def load_entry(group: str, name: str, *, kind: str, others: Iterable[str] = ()) -> Any:
    """Load the object that a plugin registers under a name in a group of entry points.

    Args:
        group: name of the group.
        name: name of the entry point.
        kind: noun for the object in error messages.
        others: names that exist without an entry point, listed in error messages.

    Raises:
        InputError: the plugin is not installed or broken; the message names its distribution.
    """
    entries = {entry.name: entry for entry in entry_points(group=group)}
    if name not in entries:
        raise unknown_name(kind, name, [*entries, *others])
    entry = entries[name]
    try:
        return entry.load()
    except InputError:
        raise
    except Exception as error:
        distribution = entry.dist.name if entry.dist else "an unknown distribution"
        if isinstance(error, ModuleNotFoundError) and distribution == _OWN:
            # Each entry point of nvs-eval itself has the name of the extra that installs its dependencies.
            raise InputError(
                f"The {kind} {name!r} requires a package that is not installed ({error}). "
                f"Run pip install '{_OWN}[{name}]' (from a clone: pip install '.[{name}]')."
            ) from error
        raise InputError(f"The {kind} {name!r} of {distribution} cannot be loaded: {error}") from error
