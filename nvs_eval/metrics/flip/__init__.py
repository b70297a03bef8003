"""FLIP."""
