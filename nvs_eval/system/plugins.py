"""What plugins offer, found by entry point; a broken one raises, naming its distribution."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from nvs_eval.errors import InputError, unknown_name

_OWN = "nvs-eval"


def load_entry(group: str, name: str, *, kind: str, others: Iterable[str] = ()) -> Any:
    """What a plugin offers in a group of entry points under a name.

    Args:
        group: of entry points.
        name: of the entry.
        kind: what an error calls it.
        others: names that are known without an entry point.

    Raises:
        InputError: it is not installed, or broken; the message names its distribution.
    """
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        raise unknown_name(kind, name, [*found, *others])
    entry = found[name]
    try:
        return entry.load()
    except InputError:
        raise
    except Exception as error:
        distribution = entry.dist.name if entry.dist else "an unknown distribution"
        if isinstance(error, ModuleNotFoundError) and distribution == _OWN:
            # Those of nvs-eval have the names of the extras that bring what they need.
            raise InputError(
                f"The {kind} {name!r} needs a package that is not installed ({error}): pip install '{_OWN}[{name}]' "
                f"(from a clone: pip install '.[{name}]')."
            ) from error
        raise InputError(f"The {kind} {name!r} of {distribution} cannot be loaded: {error}") from error
