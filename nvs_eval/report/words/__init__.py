"""Sentences about protocols and metrics."""
