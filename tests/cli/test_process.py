"""What a process that scores does first."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nvs_eval.cli import process


def said(*lines: str) -> list[str]:
    """What a fresh interpreter prints."""
    code = "\n".join(("from nvs_eval.cli.process import make_ready", *lines))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


FAULTS = (
    "import resource, torch",
    "def faults():",
    "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt",
    "    torch.empty(25_000_000).fill_(1)",
    "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before",
    # It is the seventh time at the latest that a block fits into what was freed before.
    "for _ in range(20): faults()",
    "print(faults())",
)


def keeps_large_blocks() -> bool:
    """Whether the C library here is a glibc that takes a threshold of more than 32 MiB."""
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= (2, 35)


@pytest.mark.skipif(not keeps_large_blocks(), reason="the C library keeps no blocks of 100 MB")
def test_freed_memory_is_used_again() -> None:
    # 100 MB are 24414 pages, each cleared by the system at its first use; a huge page is 512 of them.
    (without,) = said(*FAULTS)
    (ready,) = said("make_ready()", *FAULTS)
    assert int(ready) < 5
    assert int(without) > 10


def test_imports_are_no_garbage_and_later_garbage_is_found() -> None:
    frozen, enabled, torch_there = said(
        "make_ready()",
        "import gc, sys",
        "print(gc.get_freeze_count() > 100_000, gc.isenabled(), 'torch' in sys.modules)",
    )
    assert (frozen, enabled, torch_there) == ("True", "True", "True")
    (within,) = said("import gc, torch", "make_ready()", "print(gc.get_freeze_count())")
    assert within == "0"
    (disabled,) = said("import gc; gc.disable()", "make_ready()", "print(gc.isenabled())")
    assert disabled == "False"


@pytest.mark.parametrize("library", [object(), OSError("no such library")])
def test_another_c_library_is_left_as_it_is(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def open_library(name: None) -> object:
        asked.append(name)
        if isinstance(library, OSError):
            raise library
        return library

    monkeypatch.setattr(process.ctypes, "CDLL", open_library)
    monkeypatch.setattr(process.sys, "platform", "linux")
    process._keep_freed_memory()
    assert asked == [None]
    monkeypatch.setattr(process.sys, "platform", "darwin")
    process._keep_freed_memory()
    assert asked == [None]


@pytest.mark.parametrize(
    ("most", "calls"),
    [
        (2**31 - 1, [(-3, 2**27), (-1, 2**30), (-8, 1)]),
        (2**25, [(-3, 2**27), (-3, 2**25), (-1, 2**30), (-8, 1)]),
        (0, [(-3, 2**27), (-3, 2**25)]),
    ],
    ids=["takes all", "refuses more than 32 MiB", "refuses both"],
)
def test_a_library_that_refuses_a_threshold(
    most: int, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def mallopt(setting: int, value: int) -> int:
        asked.append((setting, value))
        return int(setting != process._MMAP_THRESHOLD or value <= most)

    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr(process.sys, "platform", "linux")
    process._keep_freed_memory()
    assert asked == calls


def test_waiting_threads_soon_sleep_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = ("import os", "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert said("make_ready()", *ways) == ["passive", "3000"]
    assert said("import torch", "make_ready()", *ways) == ["None", "None"]  # Too late to say.
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert said("make_ready()", *ways) == ["active", "None"]
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    assert said("make_ready()", *ways) == ["None", "0"]
