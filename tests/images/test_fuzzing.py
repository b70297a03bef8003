"""A sample of `support.fuzzing`: damaged files neither end the process nor raise anything but an InputError."""

from __future__ import annotations

import importlib.util

from support.fuzzing import FILES, in_child

CHANGES = 25
NAMES = [name for name in FILES if not name.endswith("exr") or importlib.util.find_spec("OpenEXR")]


def test_damaged_files_are_errors_or_images() -> None:
    outcomes = in_child(NAMES, CHANGES, seconds=300)
    assert {*outcomes} == {*NAMES}
    for name, counts in outcomes.items():
        assert {*counts} <= {"image", "error"}, (name, counts)
        assert sum(counts.values()) == CHANGES
        assert counts["error"] > 0
