"""Pixels and image files: the contract of all images, and how they are decoded and encoded."""
