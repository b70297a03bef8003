"""Benchmark suites and published numbers."""
