"""Protocols: how images are prepared and what is computed of them, as data."""
