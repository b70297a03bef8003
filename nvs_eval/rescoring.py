"""Kept renders as sources again: another protocol for what was rendered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.image_files import load_image
from nvs_eval.images import sha256_of_image
from nvs_eval.mask_files import Masks
from nvs_eval.protocols import Protocol
from nvs_eval.recorded import reading_of
from nvs_eval.records import Record, record_folder
from nvs_eval.sources.image_source import ImageFiles
from nvs_eval.views import Column

_FROM_RUN = "kept_renders"
_CARRIED = ("checkpoint_sha256", "config_sha256", "data_sha256", "peak_memory_bytes", "reading", "masks")


@dataclass(frozen=True)
class Result:
    """A record and the file that it was read from."""

    file: Path
    record: Record

    @property
    def from_run(self) -> bool:
        """Whether nvs-eval rendered what was scored: PNGs that it kept are then 8-bit copies."""
        return _FROM_RUN in self.record.provenance

    def path(self, below: str | None, what: str, view: str) -> Path:
        """Where a file of a view lies.

        Raises:
            InputError: it was not kept, or is not there.
        """
        if below is None:
            origin = self.record.provenance.get("renders_from")
            said = f"they came from {origin}: score that again" if origin else "run it again with `--keep-renders png`"
            raise InputError(f"{self.file}: the {what} of view {view!r} was not kept; {said}.")
        path = self.file.parent / below
        if not path.is_file():
            raise InputError(f"{self.file}: the {what} of view {view!r} is not at {path} any more.")
        return path


def root_of(result: Result) -> Path:
    """The output folder that a record lies in.

    Raises:
        InputError: it does not lie where a record of its scene, method, run and step does.
    """
    record = result.record
    below = record_folder(Path(), record.scene, record.method, record.run, record.step).parts
    folder = result.file.resolve().parent
    if folder.parts[-len(below) :] != below:
        raise InputError(
            f"{result.file} does not lie in {'/'.join(below)}, where its scene, method, run and step belong: say with "
            "`--output-dir` where the new records go."
        )
    return folder.parents[len(below) - 1]


def sources_of(results: Sequence[Result], protocols: Sequence[Protocol]) -> list[ImageFiles]:
    """The kept renders of records as sources: those of the same references and masks together.

    Args:
        results: one a scene, method, run and step, of which `check_exact` has nothing to say.
        protocols: to score them under.

    Raises:
        InputError: renders were not kept, or a file is not there any more or not an image of its view.
    """
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        rows = result.record.views
        files = [(row.name, result.path(row.reference, "reference", row.name).resolve(), row.mask) for row in rows]
        key = (result.record.scene, str(result.record.provenance.get("reading")), *files)
        groups.setdefault(key, []).append(result)
    sources = [_source(group) for group in groups.values()]
    for source in sources:
        source.check({protocol.alpha for protocol in protocols})
    return sources


def check_exact(result: Result, protocol: Protocol) -> None:
    """Check that kept renders give the numbers that the renders themselves would.

    Raises:
        InputError: they are 8-bit copies, and the protocol would see the difference.
    """
    if not result.from_run or all(str(row.render).endswith(".npy") for row in result.record.views):
        return
    # A protocol that makes it an error has seen that every render is in range, so that its PNG lost nothing there.
    in_range = result.record.protocol["definition"].get("out_of_range") == "error"
    rounds = protocol.quantise.render == "round" and protocol.colour_correction == "none"
    if rounds and (in_range or protocol.out_of_range == "clamp"):
        return
    raise InputError(
        f"{result.file}: what was kept of its renders are 8-bit copies, and {protocol.name!r} scores floats, or "
        f"renders beyond [0, 1]: run the checkpoint again under {protocol.name}, or with `--keep-renders all`."
    )


def _source(group: Sequence[Result]) -> ImageFiles:
    first = group[0]
    rows = first.record.views
    masks = {row.name: first.path(row.mask, "mask", row.name) for row in rows if row.mask is not None}
    return ImageFiles(
        [_column(result) for result in group],
        {row.name: first.path(row.reference, "reference", row.name) for row in rows},
        [{row.name: each.path(row.render, "render", row.name) for row in each.record.views} for each in group],
        reading_of(first.record),
        [{row.name: row.render_seconds for row in each.record.views} for each in group],
        Masks(masks, binary=first.record.provenance.get("masks") == "binary") if masks else None,
    )


def _column(result: Result) -> Column:
    record = result.record
    provenance = {name: record.provenance[name] for name in _CARRIED if name in record.provenance}
    if result.from_run:
        provenance[_FROM_RUN] = "as scored"
    provenance["rescored_from"] = result.file.name
    return Column(record.scene, record.method, record.run, record.step, record.split, provenance)


def copied_references(result: Result, protocols: Sequence[Protocol]) -> frozenset[str]:
    """The views whose kept reference is an 8-bit copy of what was scored; the others' are what was scored.

    Raises:
        InputError: a reference is not what it was, or a protocol would see the difference.
    """
    copies, reading = set(), reading_of(result.record)
    for row in result.record.views:
        path = result.path(row.reference, "reference", row.name)
        if sha256_of_image(load_image(path, reading)) == row.reference_sha256:
            continue
        if not result.from_run or path.suffix != ".png":
            raise InputError(f"The reference {path} has changed since {result.file} was made: score it anew.")
        exact = [protocol.name for protocol in protocols if protocol.quantise.reference != "round"]
        if exact:
            raise InputError(
                f"The reference {path} is an 8-bit copy of what was scored (or has changed since {result.file} was "
                f"made), and {', '.join(exact)} would see the difference: run the checkpoint again under it."
            )
        copies.add(row.name)
    return frozenset(copies)


def with_known_references(record: Record, before: Result, copies: frozenset[str]) -> Record:
    """A new record whose references that were copies are known by the sha256 of what they are copies of."""
    known = {row.name: row.reference_sha256 for row in before.record.views}
    rows = [replace(row, reference_sha256=known[row.name]) if row.name in copies else row for row in record.views]
    return replace(record, views=rows)
