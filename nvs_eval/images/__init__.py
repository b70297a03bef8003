"""Pixels and image files: the contract that every image keeps, and how one is decoded and encoded."""
