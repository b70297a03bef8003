"""Evaluation: prepare, render and score views, write records, and resume interrupted commands."""
