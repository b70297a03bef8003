"""Loading of plugins by entry point. Errors name the distribution of a broken plugin."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, quoted, unknown_name

_OWN = "nvs-eval"


def entry_names(group: str) -> list[str]:
    """Return the names in a group of entry points, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def find_plugin(group: str, path: Path, *, kind: str) -> Any:
    """Load the plugin of a group whose `knows(path)` returns True.

    If no plugin knows the path and only one is installed, or one has its suffix among its `SUFFIXES`, it is returned,
    because its error explains what it reads. Otherwise, the error says what they look for (their `EXPECTED`).

    Args:
        group: name of the group of entry points.
        path: a file or folder.
        kind: noun for the plugin in error messages.

    Raises:
        InputError: no plugin or more than one knows the path, or a plugin cannot be loaded.
    """
    plugins, knowing, errors = {}, [], []
    for name in entry_names(group):
        try:
            plugin = load_entry(group, name, kind=kind)
            if plugin.knows(path):
                knowing.append(name)
            plugins[name] = plugin
        except InputError as error:
            errors.append(error)
        except Exception as error:
            errors.append(InputError(f"The {kind} {quoted(name)} cannot say whether it knows {path}: {quoted(error)}"))
    if not knowing and errors:
        raise errors[0]
    if not knowing:
        named = [name for name, plugin in plugins.items() if path.suffix.lower() in getattr(plugin, "SUFFIXES", ())]
        knowing = named[:1] or (list(plugins) if len(plugins) == 1 else [])
    expected = [words for plugin in plugins.values() if (words := getattr(plugin, "EXPECTED", ""))]
    if not knowing and expected:
        state = "is none of these" if path.exists() else "does not exist"
        raise InputError(f"Pass {', or '.join(expected)}. {path} {state}.")
    if len(knowing) != 1:
        those = f"{' and '.join(knowing)} all read it" if knowing else f"installed: {', '.join(plugins) or 'none'}"
        raise InputError(f"Exactly one installed {kind} must know {path}; {those}.")
    return plugins[knowing[0]]


def is_known(group: str, path: Path) -> bool:
    """Return whether a plugin of a group knows a path. Plugins that cannot be loaded do not."""
    for name in entry_names(group):
        with suppress(Exception):
            if load_entry(group, name, kind="plugin").knows(path):
                return True
    return False


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
                f"The {kind} {quoted(name)} requires a package that is not installed ({error}). "
                f"Run pip install '{_OWN}[{name}]' (from a clone: pip install '.[{name}]')."
            ) from error
        raise InputError(f"The {kind} {quoted(name)} of {distribution} cannot be loaded: {error}") from error
