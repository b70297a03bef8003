"""JSON files of cameras, read with bounds: a stranger's file may have any content."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nvs_eval.errors import FileError, InputError, quoted, shortened
from nvs_eval.system.files import read_small
from nvs_eval_splat.cameras.camera import Matrix

_LARGEST = 2**26


def read_json(path: Path, kind: type) -> Any:
    """Return the content of a JSON file, a list or a mapping.

    Raises:
        InputError: the file cannot be read, is no JSON, is too large, or has another content.
    """
    try:
        content = json.loads(read_small(path, _LARGEST).decode("utf-8"))
    except InputError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON ({shortened(str(error))}).") from error
    if not isinstance(content, kind):
        raise FileError(f"{path} must be a {'list' if kind is list else 'mapping'} of JSON.")
    return content


def number_of(path: Path, values: Any, name: str) -> float | None:
    """Return a finite number of a mapping, or None if it has none of this name.

    Raises:
        InputError: it is something else.
    """
    value = values.get(name)
    if value is None or (type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)):
        return None if value is None else float(value)
    raise FileError(f"{path}: {name} must be a number. Got {quoted(value)}.")


def matrix_of(path: Path, name: str, rows: Any, shapes: tuple[tuple[int, int], ...] = ((4, 4), (3, 4))) -> Matrix:
    """Return a matrix of rows, [3, 4] ones completed to [4, 4].

    Raises:
        InputError: it is something else.
    """
    try:
        matrix = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape not in shapes or not np.isfinite(matrix).all():
        wanted = " or ".join(f"{height}x{width}" for height, width in shapes)
        raise FileError(f"{path}: {name} must be a matrix of {wanted} numbers. Got {quoted(rows)}.")
    return np.vstack([matrix, [0, 0, 0, 1]]) if matrix.shape == (3, 4) else matrix
