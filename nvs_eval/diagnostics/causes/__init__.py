"""Causes of errors: how many decibels each would give back, in kept images, beside their records."""
