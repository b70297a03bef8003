"""Comparison of contenders on the views that they share: differences, intervals, tests and verdicts."""
