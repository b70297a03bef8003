"""The report on the references of a record, from the record and the files that it names."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from nvs_eval.diagnostics.inspection import Finding, Inspection, doubtful_first, of_all
from nvs_eval.diagnostics.inspection.images import format_findings, size_findings, sizes_in_words, stored_format
from nvs_eval.errors import InputError, some
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import Record, ViewRow, read_record
from nvs_eval.sources.image_source import reading_of

FEW = 0.01
"""Below which coverage a mask leaves so few pixels that its view's scores say little."""


def inspect_record(path: Path) -> Inspection:
    """The report on the references of a record.

    Raises:
        InputError: the file is no record.
    """
    record = read_record(path)
    findings = [
        *_split_findings(record),
        *_duplicates(record),
        *_unused_masks(record),
        *_left_out(record),
        *_changed(record, path.parent),
        *_gone(record, path.parent),
        *_formats(record, path.parent),
        *size_findings((row.width, row.height) for row in record.views),
        *_masks(record),
        *_kept_files(record, path.parent),
    ]
    return Inspection(_name(record), doubtful_first(findings), _facts(record, path))


def _name(record: Record) -> str:
    parts = [record.scene, record.method, record.run, None if record.step is None else str(record.step)]
    return "/".join(part for part in parts if part)


def _is_run(record: Record) -> bool:
    """Whether a command rendered the views and kept copies of their references; else they are the user's own files."""
    return "kept_renders" in record.provenance or bool(record.provenance.get("checkpoint_sha256"))


def _facts(record: Record, path: Path) -> list[tuple[str, str]]:
    command = record.provenance.get("command")
    folders = sorted({str(file.parent) for _, file in _named(record, path.parent)})
    size = sizes_in_words([(row.width, row.height) for row in record.views])
    copies = "copies made in rendering: inspect the run's config.yml for the originals"
    facts = [
        ("record", str(path)),
        ("protocol", f"{record.protocol_title} ({record.fingerprint})"),
        *([("precision", _precision(record))] if record.fast else []),
        ("split", record.split),
        ("views", f"{len(record.views)}: {', '.join(row.name for row in record.views)}"),
        ("references", f"{size}, {copies if _is_run(record) else 'as given'}"),
        *([("in", some(folders))] if folders else []),
        ("masks", _coverage(record)),
        ("renders", _kept(record)),
    ]
    if isinstance(command, list) and command:
        facts.append(("command", shlex.join(map(str, command))))
    return facts


def _precision(record: Record) -> str:
    used = record.provenance.get("lpips_products", "fewer bits than float32")
    return f"fast: LPIPS networks multiplied in {used}"


def _coverage(record: Record) -> str:
    covered = sorted((row.coverage, row.name) for row in record.views if row.coverage is not None)
    if not covered:
        return "none"
    (low, least), (high, most) = covered[0], covered[-1]
    meaning = record.protocol["definition"].get("mask", "not said")
    return f"{len(covered)} of {len(record.views)} views, {meaning}: {low:.1%} ({least}) to {high:.1%} ({most}) count"


def _kept(record: Record) -> str:
    if said := record.provenance.get("kept_renders"):
        return "not kept" if said == "none" else f"kept {said}" if said == "as scored" else f"kept as {said}"
    named = sum(row.render is not None for row in record.views)
    return "the files that were given" if named else "not kept"


def _split_findings(record: Record) -> list[Finding]:
    if record.split != "train":
        return []
    return [
        Finding(
            "The views are those that were trained on: the scores say how well training images are remembered, not how "
            "new views are rendered.",
            doubtful=True,
        )
    ]


def _duplicates(record: Record) -> list[Finding]:
    first: dict[str, str] = {}
    copies = []
    for row in record.views:
        if row.reference_sha256 in first:
            copies.append(f"{first[row.reference_sha256]} and {row.name}")
        first.setdefault(row.reference_sha256, row.name)
    return [Finding(f"Views of one image count twice in every mean: {some(copies)}.", doubtful=True)] if copies else []


def _left_out(record: Record) -> list[Finding]:
    left_out = record.provenance.get("left_out")
    if not isinstance(left_out, dict) or not left_out:
        return []
    said = some([f"{name} ({reason})" for name, reason in left_out.items()])
    return [Finding(f"Not every view was scored, so that the means are of the others. Left out: {said}.", True)]


def _unused_masks(record: Record) -> list[Finding]:
    masks = record.provenance.get("masks_not_used")
    if not isinstance(masks, str):
        return []
    return [Finding(f"Masks came with the renders ({masks}) and were not used: score with `--data-masks`.", True)]


def _named(record: Record, folder: Path) -> list[tuple[ViewRow, Path]]:
    """The rows that say where their reference lies, and where that is."""
    return [(row, _place(folder, row.reference)) for row in record.views if row.reference]


def _place(folder: Path, path: str) -> Path:
    """Where a path of a record's leads, without going into its folder and out of it again."""
    return Path(os.path.normpath(folder / path))


def _there(record: Record, folder: Path) -> list[tuple[ViewRow, Path]]:
    return [(row, path) for row, path in _named(record, folder) if path.is_file()]


def _changed(record: Record, folder: Path) -> list[Finding]:
    """References whose pixels are not those that were scored against."""
    reading, changed, copies, unreadable = reading_of(record), [], [], []
    for row, path in _there(record, folder):
        try:
            if sha256_of_image(load_image(path, reading)) != row.reference_sha256:
                (copies if _may_be_copy(record, path) else changed).append(row.name)
        except InputError as error:
            unreadable.append(str(error).rstrip("."))
    findings = []
    if changed:
        said = of_all(len(changed), len(record.views), "reference")
        findings.append(Finding(f"{said} no longer what was scored: {some(changed)}.", doubtful=True))
    if copies:
        said = of_all(len(copies), len(record.views), "reference")
        findings.append(
            Finding(
                f"{said} not to the last bit what was scored: either an 8-bit copy of what lay between the levels, or "
                f"changed since: {some(copies)}."
            )
        )
    if unreadable:
        said = of_all(len(unreadable), len(record.views), "reference")
        findings.append(Finding(f"{said} not to be compared with what was scored: {some(unreadable)}."))
    return findings


def _may_be_copy(record: Record, path: Path) -> bool:
    """Whether a kept reference may by right be another than the one that was scored against, rounded to 8 bits.

    What a record calls kept as scored is that, to a protocol that rounds references itself.
    """
    said = record.protocol["definition"].get("quantise")
    rounds = isinstance(said, dict) and said.get("reference") == "round"
    exact = record.provenance.get("kept_renders") == "as scored" and not rounds
    return _is_run(record) and path.suffix == ".png" and not exact


def _gone(record: Record, folder: Path) -> list[Finding]:
    named = _named(record, folder)
    gone = [str(path) for _, path in named if not path.is_file()]
    findings = []
    if len(named) < len(record.views):
        said = of_all(len(record.views) - len(named), len(record.views), "reference")
        findings.append(Finding(f"{said} known by sha256 only, and was no file of its own, or was not kept."))
    if gone:
        said = of_all(len(gone), len(record.views), "reference")
        findings.append(Finding(f"{said} gone, so that nothing can be scored against it again: {some(gone)}."))
    return findings


def _formats(record: Record, folder: Path) -> list[Finding]:
    found = [(row.name, path, stored_format(path)) for row, path in _there(record, folder)]
    return format_findings([(name, path, format) for name, path, format in found if format])


def _masks(record: Record) -> list[Finding]:
    few = [
        f"{row.name} ({row.coverage:.2%})" for row in record.views if row.coverage is not None and row.coverage < FEW
    ]
    if not few:
        return []
    return [Finding(f"Masks leave few pixels to score, so that these scores say little: {some(few)}.", doubtful=True)]


def _kept_files(record: Record, folder: Path) -> list[Finding]:
    """What there is no more to score again, or is no longer what was scored."""
    kept = record.provenance.get("kept_renders")
    if kept == "none":
        return [Finding("The renders were not kept: nothing can be scored again.")]
    findings = []
    if kept and kept != "as scored":
        findings.append(Finding(f"The renders are kept as {kept}: scoring them again gives other numbers."))
    for what, paths in (("render", [row.render for row in record.views]), ("mask", [row.mask for row in record.views])):
        if gone := [str(_place(folder, path)) for path in paths if path and not _place(folder, path).is_file()]:
            findings.append(Finding(f"{of_all(len(gone), len(record.views), what)} gone: {some(gone)}."))
    return findings
