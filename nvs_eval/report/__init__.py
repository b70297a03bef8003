"""What is made of records, and of nothing else: no image, no weights, no torch."""
