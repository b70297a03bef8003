"""The regression gate: whether results got worse than a baseline."""
