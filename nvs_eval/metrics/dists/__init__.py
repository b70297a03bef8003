"""DISTS."""
