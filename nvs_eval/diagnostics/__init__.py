"""Whether a number can be trusted: independent verification, and inspection of the data."""
