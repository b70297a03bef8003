"""Fixtures of LPIPS weights."""

from support.weights_files import folder, jax_cache, own_places, true  # noqa: F401
