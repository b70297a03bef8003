"""What `nvs-eval suite` would do: which methods and scenes are done, to do or missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    from nvs_eval.evaluation.suite.entries import Entry
    from nvs_eval.evaluation.suite.file import SuiteFile
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record
    from nvs_eval.report.tables.table import Table


def state_of(entry: Entry, failures: list[tuple[str, Entry]]) -> str:
    """What there is to do for an entry: `done`, `to do`, `missing`, or `fails`.

    Args:
        entry: a method on a scene.
        failures: is added why it would fail, with it.
    """
    if entry.missing:
        return "missing"
    try:
        return "to do" if entry.command.finished() is None else "done"
    except InputError as error:
        failures.append((str(error), entry))
        return "fails"


def plan_table(file: SuiteFile, states: Mapping[tuple[str, str], str]) -> Table:
    """The states of methods and scenes, a row a scene and a column a method; nothing where none was asked for."""
    from nvs_eval.report.tables.columns import table_from, text_column

    scenes = [name for name in file.suite.names if any(scene == name for _, scene in states)]
    methods = [each.name for each in file.methods if any(method == each.name for method, _ in states)]
    columns = [text_column("scene", scenes)]
    for method in methods:
        columns.append(text_column(method, [states.get((method, scene), "") for scene in scenes]))
    counted = [
        f"{list(states.values()).count(state)} {state}"
        for state in ("done", "to do", "missing", "fails")
        if state in states.values()
    ]
    return table_from(f"{file.suite.title}: what there is to do", columns, caption=", ".join(counted))


def made_up_record(entry: Entry, protocol: Protocol) -> Record:
    """A record as the entry will have one, but for its numbers."""
    from nvs_eval.records.record import Record, ViewRow

    row = ViewRow("", 1, 1, dict.fromkeys(protocol.infos, 0.0), None, None, None, "", None)
    said = {"name": protocol.name, "definition": protocol.definition, "fingerprint": protocol.fingerprint}
    return Record(entry.scene, entry.method, None, None, "test", said, protocol.infos, [row], {})
