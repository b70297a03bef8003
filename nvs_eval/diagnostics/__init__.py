"""Checks of whether numbers can be trusted: independent verification, and inspection of the data."""
