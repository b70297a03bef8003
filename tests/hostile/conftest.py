"""Fixtures of the tests of hostile files."""

from support.hostile import meets  # noqa: F401
