"""The checker of annotations under test."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As to any type checker, an int is a float to it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
