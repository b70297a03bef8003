"""Options of `diagnose`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions:
    """Options of `diagnose`: the records, and whether causes that are known are found again."""

    records: tuple[str, ...]
    """Records, folders or patterns, whose images were kept."""
    protocol: tuple[str, ...] = ()
    """Use only records of these protocols, by name or fingerprint (default: all)."""
    overwrite: bool = False
    """Find the causes again where they are known."""
