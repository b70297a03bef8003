"""Reports made from records alone: no images, no weights, no torch."""
