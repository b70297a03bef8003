"""Report on the references of a record, from the record and the files that it names.

To add a warning, write a function of an `InspectedRecord` that yields findings and list it in `WARNINGS`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean

from nvs_eval.diagnostics.inspection.export import CAUSE, EXPORT, REPRODUCES, verdict
from nvs_eval.diagnostics.inspection.findings import (
    LOSSY,
    Finding,
    Inspection,
    findings_on,
    format_findings,
    size_findings,
    sizes_in_words,
    stored_format,
    tag_findings,
)
from nvs_eval.diagnostics.inspection.pairs import Pair, Thumbnail, pair_findings, thumbnail
from nvs_eval.errors import InputError, printable, some
from nvs_eval.images.files import Header, Reading, load_image, probe_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import Record, ViewRow, read_record
from nvs_eval.sources.image_source import reading_of
from nvs_eval.system.prefetch import prefetch

FEW = 0.01
"""Coverage below which a mask leaves too few pixels for a meaningful score."""
_COPIES = (
    "{count} not bit-identical to what was scored, as an 8-bit copy of values between the levels or because of a later "
    "change: {names}."
)
_UNNAMED = "{count} known only by sha256, because no separate file was kept."


@dataclass(frozen=True)
class InspectedRecord:
    """A record and its file."""

    record: Record
    file: Path

    @property
    def is_run(self) -> bool:
        """Whether a command rendered the views, so that kept references are copies and not the user's files."""
        return "kept_renders" in self.record.provenance or bool(self.record.provenance.get("checkpoint_sha256"))

    @property
    def references(self) -> list[tuple[ViewRow, Path]]:
        """Rows that name the file of their reference, with this file."""
        return [(row, self.path(row.reference)) for row in self.record.views if row.reference]

    @property
    def renders(self) -> list[tuple[ViewRow, Path]]:
        """Rows that name the file of their render, with this file."""
        return [(row, self.path(row.render)) for row in self.record.views if row.render]

    @cached_property
    def decoded(self) -> dict[Path, Decoded | InputError]:
        """Contents of the files of references and renders that exist; for an unreadable file, the error."""
        reading = reading_of(self.record)
        files = dict.fromkeys(path for _, path in (*self.references, *self.renders) if path.is_file())
        with closing(prefetch([partial(_decode, file, reading)] for file in files)) as decoded:
            return {file: content for file, (content,) in zip(files, decoded, strict=True)}

    def path(self, name: str) -> Path:
        """Return a path relative to the current folder, without the `..` that lead out of the record's folder."""
        return Path(os.path.normpath(self.file.parent / name))


@dataclass(frozen=True)
class Decoded:
    """Hash, header and thumbnail of a decoded image."""

    sha256: str
    header: Header
    thumbnail: Thumbnail


def _decode(file: Path, reading: Reading) -> Decoded | InputError:
    try:
        image, header = load_image(file, reading), probe_image(file, reading)
    except InputError as error:
        return error
    return Decoded(sha256_of_image(image), header, thumbnail(image))


def inspect_record(file: Path) -> Inspection:
    """Report on the references of a record.

    Raises:
        InputError: the file is not a record.
    """
    inspected = InspectedRecord(read_record(file), file)
    findings = [finding for warning in WARNINGS for finding in warning(inspected)]
    findings.sort(key=lambda finding: not finding.doubtful)
    return Inspection(inspected.record.id.label, findings, _facts(inspected))


# --- Facts ------------------------------------------------------------------------------------------------------------


def _facts(inspected: InspectedRecord) -> list[tuple[str, str]]:
    record, command = inspected.record, inspected.record.provenance.get("command")
    folders = sorted({str(file.parent) for _, file in inspected.references})
    size = sizes_in_words([(row.width, row.height) for row in record.views])
    copies = "copies made while rendering (inspect the run's config.yml for the originals)"
    products = inspected.record.provenance.get("lpips_products", "fewer bits than float32")
    facts = [
        ("record", str(inspected.file)),
        ("protocol", f"{record.protocol_title} ({record.fingerprint})"),
        *([("precision", f"fast: LPIPS networks multiply in {products}")] if record.fast else []),
        ("split", record.split),
        ("views", f"{len(record.views)}: {', '.join(row.name for row in record.views)}"),
        ("references", f"{size}, {copies if inspected.is_run else 'original files'}"),
        *([("folder", some(folders))] if folders else []),
        ("masks", _coverage(record)),
        ("renders", _renders(record)),
    ]
    if isinstance(command, list) and command:
        facts.append(("command", shlex.join(map(str, command))))
    return facts


def _coverage(record: Record) -> str:
    covered = sorted((row.coverage, row.name) for row in record.views if row.coverage is not None)
    if not covered:
        return "none"
    (low, least), (high, most) = covered[0], covered[-1]
    meaning = record.protocol["definition"].get("mask", "unknown meaning")
    coverage = f"coverage {low:.1%} ({least}) to {high:.1%} ({most})"
    return f"{len(covered)} of {len(record.views)} views, {meaning}, {coverage}"


def _renders(record: Record) -> str:
    if kept := record.provenance.get("kept_renders"):
        return "not kept" if kept == "none" else f"kept {kept}" if kept == "as scored" else f"kept as {kept}"
    return "original files" if any(row.render is not None for row in record.views) else "not kept"


# --- Warnings ---------------------------------------------------------------------------------------------------------


def _split(inspected: InspectedRecord) -> Iterator[Finding]:
    if inspected.record.split == "train":
        yield Finding(
            "The views are training views: the scores measure how well training images are remembered, not how well "
            "new views are rendered.",
            doubtful=True,
        )


def _duplicates(inspected: InspectedRecord) -> Iterator[Finding]:
    first: dict[str, str] = {}
    copies = []
    for row in inspected.record.views:
        if (name := first.setdefault(row.reference_sha256, row.name)) != row.name:
            copies.append(f"{name} and {row.name}")
    return findings_on(copies, "Views with the same image count more than once in every mean: {names}.", doubtful=True)


def _export(inspected: InspectedRecord) -> Iterator[Finding]:
    """State whether the file of a splat is the model that its tool rendered."""
    values = [row.own[EXPORT] for row in inspected.record.views if row.own and EXPORT in row.own]
    if values:
        cause = inspected.record.provenance.get(CAUSE)
        text = verdict(values, cause if isinstance(cause, str) else "")
        yield Finding(f"{text[0].upper()}{text[1:]}.", doubtful=fmean(values) < REPRODUCES)


def _unused_masks(inspected: InspectedRecord) -> Iterator[Finding]:
    masks = inspected.record.provenance.get("masks_not_used")
    if isinstance(masks, str):
        yield Finding(
            f"The renders came with masks ({masks}), which were not used. Use `--data-masks` to score with them.", True
        )


def _skipped(inspected: InspectedRecord) -> Iterator[Finding]:
    record = inspected.record
    for verb, views in (("skipped", record.left_out), ("failed", record.failed)):
        names = [f"{name} ({reason.rstrip('.')})" for name, reason in views.items()]
        text = f"Some views {'were skipped' if verb == 'skipped' else 'failed'}, so means cover only the others. "
        yield from findings_on(names, f"{text}{verb.capitalize()}: {{names}}.", doubtful=True)
    if record.selection and not record.left_out:
        names = [row.name for row in record.views]
        yield from findings_on(names, "Means cover selected views only: {names}.", doubtful=True)


def _changed(inspected: InspectedRecord) -> Iterator[Finding]:
    """Find references whose pixels differ from the scored ones."""
    changed, copies = [], []
    for row, path in inspected.references:
        reference = inspected.decoded.get(path)
        if isinstance(reference, Decoded) and reference.sha256 != row.reference_sha256:
            (copies if _may_be_copy(inspected, path) else changed).append(row.name)
    total = len(inspected.record.views)
    yield from findings_on(changed, "{count} changed since scoring: {names}.", total, verb="have", doubtful=True)
    yield from findings_on(copies, _COPIES, total)
    for noun, files in (("reference", inspected.references), ("render", inspected.renders)):
        errors = [inspected.decoded.get(path) for _, path in files]
        unreadable = [str(error).rstrip(".") for error in errors if isinstance(error, InputError)]
        text = "{count} unreadable and could not be compared with what was scored: {names}."
        yield from findings_on(unreadable, text, total, noun=noun, whole=True)


def _pairs(inspected: InspectedRecord) -> Iterator[Finding]:
    """Find renders that fit another reference better, or their own after a flip, a turn or a swap of channels."""
    renders = {row.name: inspected.decoded.get(path) for row, path in inspected.renders}
    pairs = []
    for row, path in inspected.references:
        reference, render = inspected.decoded.get(path), renders.get(row.name)
        if isinstance(reference, Decoded) and isinstance(render, Decoded):
            pairs.append(Pair(row.name, reference.thumbnail, render.thumbnail, len(set(reference.header.size)) == 1))
    return pair_findings(pairs)


def _may_be_copy(inspected: InspectedRecord, path: Path) -> bool:
    """Return whether a kept reference may be an 8-bit copy of a reference with more levels.

    A record whose images are kept as scored has such copies only if its protocol rounds references.
    """
    quantise = inspected.record.protocol["definition"].get("quantise")
    rounds = isinstance(quantise, dict) and quantise.get("reference") == "round"
    exact = inspected.record.provenance.get("kept_renders") == "as scored" and not rounds
    return inspected.is_run and path.suffix == ".png" and not exact


def _missing(inspected: InspectedRecord) -> Iterator[Finding]:
    rows = inspected.record.views
    unnamed = [row.name for row in rows if not row.reference]
    missing = [printable(str(path)) for _, path in inspected.references if not path.is_file()]
    yield from findings_on(unnamed, _UNNAMED, len(rows))
    text = "{count} missing, so these views cannot be scored again: {names}."
    yield from findings_on(missing, text, len(rows), whole=True)


def _formats(inspected: InspectedRecord) -> Iterator[Finding]:
    formats = [(row.name, path, stored_format(path)) for row, path in inspected.references]
    yield from format_findings([(name, path, format) for name, path, format in formats if format])
    lossy = [row.name for row, path in inspected.renders if stored_format(path) in LOSSY]
    text = "{count} JPEG{which}, which changes every score. Score the images as rendered, without compression."
    yield from findings_on(lossy, text, len(inspected.record.views), noun="render", doubtful=True)


def _tags(inspected: InspectedRecord) -> Iterator[Finding]:
    for noun, files in (("reference", inspected.references), ("render", inspected.renders)):
        decoded = [(row.name, inspected.decoded.get(path)) for row, path in files]
        headers = [(name, file.header) for name, file in decoded if isinstance(file, Decoded)]
        yield from tag_findings(headers, noun=noun)


def _sizes(inspected: InspectedRecord) -> Iterator[Finding]:
    return size_findings((row.width, row.height) for row in inspected.record.views)


def _small_masks(inspected: InspectedRecord) -> Iterator[Finding]:
    covered = [(row.name, row.coverage) for row in inspected.record.views if row.coverage is not None]
    few = [f"{name} ({coverage:.2%})" for name, coverage in covered if coverage < FEW]
    text = "Masks leave too few pixels for a meaningful score: {names}."
    return findings_on(few, text, doubtful=True)


def _kept_files(inspected: InspectedRecord) -> Iterator[Finding]:
    """Find renders and masks that are missing, or not kept as scored."""
    kept = inspected.record.provenance.get("kept_renders")
    if kept == "none":
        yield Finding("The renders were not kept, so nothing can be scored again.")
        return
    if kept and kept != "as scored":
        yield Finding(f"The renders are kept as {kept}: scoring them again gives different numbers.")
    rows = inspected.record.views
    masks = [inspected.path(row.mask) for row in rows if row.mask]
    for noun, paths in (("render", [path for _, path in inspected.renders]), ("mask", masks)):
        missing = [printable(str(path)) for path in paths if not path.is_file()]
        yield from findings_on(missing, "{count} missing: {names}.", len(rows), noun=noun, whole=True)


WARNINGS = (
    _split,
    _export,
    _duplicates,
    _unused_masks,
    _skipped,
    _changed,
    _pairs,
    _missing,
    _formats,
    _tags,
    _sizes,
    _small_masks,
    _kept_files,
)
"""Warnings in the order of the report, which puts doubtful findings first."""
