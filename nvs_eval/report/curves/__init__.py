"""Scores over the steps of a run: their table and their plot."""
