"""The scenes of a suite file that come from an evaluation index, the user's copy of a published file."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from nvs_eval.errors import InputError, counted
from nvs_eval.report.benchmarks import Scene, Suite
from nvs_eval.sources.evaluation_index import EvaluationIndex, load_index


def suite_of_index(suite: Suite | None, file: Path | None, own_name: str) -> tuple[Suite, EvaluationIndex, str]:
    """Return the suite with the scenes of an index, the index, and a note if it is not the suite's own; "" otherwise.

    Args:
        suite: suite that the user named, or None.
        file: the user's copy of the index, or None.
        own_name: name of a suite that is not one of the known ones.

    Raises:
        InputError: there is no index, the suite has none, or it cannot be read.
    """
    known = suite and suite.index
    if file is None:
        assert suite is not None and known is not None
        raise InputError(
            f"the scenes of {suite.name} are in an evaluation index, which is not included. Get it from "
            f"{known.source}, and add `index: FILE`."
        )
    if suite is not None and known is None:
        raise InputError(f"{suite.name} has no evaluation index. Omit `index`, or `suite` for scenes of your own.")
    index = load_index(file)
    scenes = tuple(Scene(name, name, 1) for name in index.views)
    if suite is None or known is None:
        title = f"{counted(len(scenes), 'scene')} of {file.name}"
        return Suite(own_name, title, "", "test", scenes), index, ""
    if known.sha256 == index.sha256:
        return replace(suite, scenes=scenes), index, ""
    note = (
        f"{file} is not the index of {suite.name}, whose sha256 begins with {known.sha256[:8]} ({known.source}). Got "
        f"{index.sha256[:8]}, with {counted(len(scenes), 'scene')} instead of {known.scenes}. The tables name this "
        "index."
    )
    title = f"{suite.title}, index {index.sha256[:8]}"
    return replace(suite, name=own_name, title=title, scenes=scenes, index=None), index, note
