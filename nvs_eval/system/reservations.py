"""Reservations of memory for work of several threads, each of which would take the same free memory for its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SMALL = 2**26
"""Reservations of up to this many bytes together are granted without a look at the free memory."""
_SECONDS = 1.0


class ShortageError(Exception):
    """Less memory is free than is needed, although no other thread is about to use any.

    Attributes:
        free: number of bytes that are free.
    """

    def __init__(self, free: int) -> None:
        super().__init__(free)
        self.free = free


class Reservations:
    """Memory that threads are about to allocate."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reserved = 0

    @contextmanager
    def hold(self, size: int, free: Callable[[], int | None]) -> Iterator[None]:
        """Reserve memory while it is being allocated. Wait for others if they leave too little.

        Args:
            size: number of bytes.
            free: returns the number of bytes that are free now; None if unknown.

        Raises:
            ShortageError: too little memory is free, and nobody else is about to use any.
        """
        with self._changed:
            while self._reserved + size > _SMALL and (left := free()) is not None and self._reserved + size > left:
                if not self._reserved:
                    raise ShortageError(left)
                self._changed.wait(_SECONDS)
            self._reserved += size
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= size
                self._changed.notify_all()
