"""Sentences about comparisons."""
