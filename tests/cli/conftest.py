"""Fixtures of LPIPS weights and of receipts."""

from support.receipts import garden, opened  # noqa: F401
from support.weights_files import folder, jax_cache, own_places, true  # noqa: F401
