"""Files of numbers: the JSON of tools, and CSV."""

from __future__ import annotations

import base64
import binascii
import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nvs_eval.diagnostics.identify.numbers import Number, Numbers, keys_of
from nvs_eval.errors import InputError, quoted, shortened
from nvs_eval.system.files import read_small

_MOST_BYTES, _MOST_VALUES = 2**26, 2_000_000
_VIEW, _MEAN = ("", "view", "name", "image", "img", "file", "filename", "frame", "index", "id"), ("mean", "average")
_STEP = ("step", "steps", "iteration", "iterations", "iter")
_WRAPPERS = ("results", "metrics", "metrics_raw", "means", "scores")


def read_numbers(path: Path) -> list[Numbers]:
    """Read a file of numbers: JSON of any nesting, or CSV with a column for each metric.

    Returns:
        The numbers of each result in the file, at least one.

    Raises:
        InputError: the file cannot be read, is neither, has no metric, or has something else in place of a number.
    """
    try:
        data = read_small(path, _MOST_BYTES)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"The numbers {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise InputError(f"The numbers {path} must be JSON or CSV in UTF-8. Got other bytes.") from None
    if sum(map(text.count, ",[{\n")) > _MOST_VALUES:
        raise InputError(f"The numbers {path} must have at most {_MOST_VALUES} values. It has more.")
    try:
        results = list((_from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text)).values())
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"The numbers {path} cannot be used: {shortened(str(error), 200)}.") from error
    if not (results := [numbers for numbers in results if numbers.metrics]):
        raise InputError(
            f"The numbers {path} must have a metric, such as PSNR, SSIM or LPIPS. Got none. Use results.json of 3D "
            "Gaussian splatting, output.json of ns-eval, results of NerfBaselines, or a CSV with a column per metric."
        )
    return results


# --- JSON ---------------------------------------------------------------------------------------------------------


def _from_json(text: str) -> dict[str, Numbers]:
    tree = json.loads(text, parse_float=Number.of, parse_int=Number.of, parse_constant=_constant)
    results: dict[str, Numbers] = {}
    for label, name, value in _leaves(tree, ()):
        if isinstance(value, Number) and math.isnan(value.value) and keys_of(name):
            raise ValueError(f"{name}: 'NaN' is not a number that a metric can have")
        results.setdefault(label, Numbers(label)).add(name, value)
    return results


def _constant(text: str) -> Number:
    return Number(float(text), 0.0)


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
    """Yield label, name and values of each metric and of each other number, from the outermost objects on."""
    items: Sequence[tuple[str, Any]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = [(str(index), item) for index, item in enumerate(tree) if isinstance(item, dict)]
    for name, value in items:
        encoded = path[-1:] == ("metrics_raw",)
        if isinstance(value, str) and keys_of(name) and not encoded:
            values = Number.of(value)
        else:
            values = _values(value, encoded=encoded)
        if values is not None and (isinstance(values, Number) or keys_of(name)):
            yield "/".join(word for word in path if word not in _WRAPPERS), name, values
        else:
            yield from _leaves(value, (*path, name))


def _values(value: Any, *, encoded: bool) -> Number | Sequence[tuple[str, Number]] | None:
    """Return a number, or those of views with their names ("" in a list); None for anything else."""
    if isinstance(value, Number):
        return value
    if isinstance(value, str) and encoded:  # NerfBaselines encodes float32 values.
        try:
            floats = np.frombuffer(base64.b64decode("".join(value.split()), validate=True), "<f4").astype(float)
        except (binascii.Error, ValueError):
            return None
        return [("", Number(one, 0.0)) for one in floats.tolist() if not math.isnan(one)]
    pairs = list(value.items()) if isinstance(value, dict) else []
    pairs = [("", part) for part in value] if isinstance(value, list) else pairs
    return pairs if pairs and all(isinstance(part, Number) for _, part in pairs) else None


# --- CSV ----------------------------------------------------------------------------------------------------------


def _from_csv(text: str) -> dict[str, Numbers]:
    """Read a table whose rows are views, with an optional row of means, or results."""
    if not text.strip():
        return {}
    first = text.strip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    header, *rows = [
        [cell.strip() for cell in row] for row in csv.reader(text.strip().splitlines(), delimiter=delimiter)
    ]
    metrics = {place: name for place, name in enumerate(header) if keys_of(name)}
    view = next((place for place, name in enumerate(header) if name.lower() in _VIEW), None)
    others = [place for place, name in enumerate(header) if place not in metrics and name.lower() not in _VIEW]
    texts = [
        place
        for place in others
        if header[place].lower() in _STEP or any(row[place:] and not _is_number(row[place]) for row in rows)
    ]
    results: dict[str, Numbers] = {}
    columns: dict[str, list[tuple[str, Number]]] = {}
    numbers = Numbers("")
    for line, row in enumerate(filter(any, rows), start=2):
        name = row[view] if view is not None and view < len(row) else ""
        if view is None and texts and len(rows) > 1:
            label = "/".join(row[place] for place in texts if place < len(row))
            if label in results:
                raise ValueError(f"row {line}: {quoted(label)} has two rows; name their views in a column `view`")
            numbers = results[label] = Numbers(label)
        is_mean = name.lower() in _MEAN or len(rows) == 1 or (view is None and bool(texts))
        for place, metric in metrics.items():
            number = _cell(row, place, f"row {line} of {metric}")
            if is_mean:
                numbers.add(metric, number)
            else:
                columns.setdefault(metric, []).append((name, number))
        if name.lower() in _MEAN:
            break  # Long-LRM's files go on with other numbers.
    for metric, values in columns.items():
        numbers.add(metric, values)
    for place in others:
        numbers.ignored[header[place]] = None
    return results or {"": numbers}


def _cell(row: Sequence[str], place: int, what: str) -> Number:
    try:
        return Number.of(row[place].replace(",", ".") if place < len(row) else "")  # A decimal comma, beside `;`.
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
