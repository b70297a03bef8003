"""The note beside renders that are not scored yet, by which the next command finds what an interrupted one rendered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nvs_eval.system.files import write_whole

IDENTITY = ("checkpoint_sha256", "config_sha256", "data_sha256")
"""What in a column's provenance makes its renders what they are."""
NAME = ".rendered"


@dataclass
class Note:
    """What a folder of renders holds.

    Attributes:
        provenance: of the column; it grows while the views are rendered.
        floats: whether there are float32 renders, as `.npy`.
        pngs: whether there are 8-bit renders.
        reference_sha256: of each view.
        seconds: what each render took.
        inexact_references: the views whose reference is another in 8 bits, with the sha256 of that copy.
        in_range: whether every render is in [0, 1], which a PNG of it cannot tell.
        temporary: the files among the renders that go once they were scored, unless they are asked for; those of
            earlier commands stay.
        temporary_references: likewise.
    """

    provenance: dict[str, Any]
    floats: bool
    pngs: bool
    reference_sha256: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float | None] = field(default_factory=dict)
    inexact_references: dict[str, str] = field(default_factory=dict)
    in_range: bool = True
    temporary: list[str] = field(default_factory=list)
    temporary_references: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Put the note beside the renders in a folder.

        Raises:
            InputError: it cannot be written there.
        """
        write_whole(folder / NAME, lambda file: file.write(json.dumps(asdict(self)).encode()))

    @classmethod
    def read(cls, folder: Path) -> Note | None:
        """The note in a folder of renders; None where there is none, or none that can be trusted."""
        try:
            said = json.loads((folder / NAME).read_bytes())
            note = cls(**{each.name: said[each.name] for each in fields(cls)})
            # These are removed by name: so no note may name anything elsewhere.
            safe = all(is_below(name) for name in [*note.temporary, *note.temporary_references])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return note if safe else None

    def serves(self, wanted: Note, names: Sequence[str]) -> bool:
        """Whether the renders are those of the wanted column and views, in every form that is wanted."""
        return (
            all(self.provenance.get(key) == wanted.provenance[key] for key in IDENTITY)
            and list(self.seconds) == list(self.reference_sha256) == list(names)
            and self.floats >= wanted.floats
            and self.pngs >= wanted.pngs
            and (wanted.floats or self.in_range)
        )


def is_below(name: str) -> bool:
    """Whether a name, as a path, stays below the folder that it is put into."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts
