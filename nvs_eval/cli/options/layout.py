"""The options of commands that show tables: what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nvs_eval.errors import unknown_name
from nvs_eval.report.tables.options import TableOptions

if TYPE_CHECKING:
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.layout import Layout


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(TableOptions):
    """What tables show."""

    decimals: tuple[str, ...] = ()

    def layout(self, records: Sequence[Record]) -> Layout:
        """What was chosen, checked.

        Args:
            records: that are shown.

        Raises:
            InputError: something that was named is not there, or the choices do not go together.
        """
        from nvs_eval.report.tables.layout import layout_of

        if not self.tied:
            return layout_of(records, self)
        from nvs_eval.comparison.noise import Ties  # The statistics: late, as they need numpy.

        return layout_of(records, self, tied=Ties())


def of_protocols(found: Sequence[tuple[Path, Record]], protocols: Sequence[str]) -> list[tuple[Path, Record]]:
    """The records of some protocols, by name or fingerprint, with their files; all if none is named.

    Raises:
        InputError: there is none of one of them.
    """
    known = [(record.protocol["name"], record.protocol_title, record.fingerprint) for _, record in found]
    for name in protocols:
        if not any(name in each for each in known):
            raise unknown_name("protocol of the records", name, {name for each in known for name in each})
    if not protocols:
        return list(found)
    return [each for each, names in zip(found, known, strict=True) if set(names) & set(protocols)]
