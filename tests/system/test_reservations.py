"""Memory that several threads reserve."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nvs_eval.system import reservations
from nvs_eval.system.reservations import Reservations, ShortageError

GB = 10**9


def test_threads_never_hold_more_than_is_free() -> None:
    memory, lock, held, most = Reservations(), threading.Lock(), [0], [0]

    def work(size: int) -> None:
        with memory.hold(size, lambda: 4 * GB):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
            threading.Event().wait(0.002)
            with lock:
                held[0] -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [GB, 3 * GB, 2 * GB, GB] * 5))
    assert 3 * GB <= most[0] <= 4 * GB
    assert held == [0]


def test_what_nobody_gives_back_is_an_error() -> None:
    memory = Reservations()
    with pytest.raises(ShortageError) as error, memory.hold(5 * GB, lambda: 4 * GB):
        raise AssertionError
    assert error.value.free == 4 * GB
    with memory.hold(5 * GB, lambda: None), memory.hold(1, lambda: None):
        pass


def test_little_memory_is_not_looked_up() -> None:
    def fail() -> int:
        raise AssertionError

    with Reservations().hold(reservations._SMALL, fail):
        pass
