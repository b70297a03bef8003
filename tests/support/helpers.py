"""The former place of what is now in the modules beside it, for branches that still name it."""
# ruff: noqa: F401

from support.checkpoints import FakeCheckpoint, Opener, evaluate_checkpoints, no_progress
from support.commands import Said
from support.protocols import FLOAT, HALF, IGNORING, LIGHT, UNMASKED, protocol_file, protocol_of
from support.records import INFO, record, row, rows
from support.scenes import (
    HEIGHT,
    NAMES,
    WIDTH,
    files_below,
    fill,
    flat,
    float_image,
    image,
    masks_in,
    write_masks,
    write_pngs,
)
