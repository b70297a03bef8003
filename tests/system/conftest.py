"""Fixtures of receipts."""

from support.receipts import garden, opened  # noqa: F401
