"""The type checker that tests apply to annotated shapes."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# Accept an int where a float is expected, like static type checkers.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
