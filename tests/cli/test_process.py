"""Memory and thread settings of a scoring process."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nvs_eval.cli import process


def output_of(*lines: str) -> list[str]:
    """Return the words that a new interpreter prints."""
    code = "\n".join(("from nvs_eval.cli.process import make_ready", *lines))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


FAULTS = (
    "import resource, torch",
    "def faults():",
    "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt",
    "    torch.empty(25_000_000).fill_(1)",
    "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before",
    # From the seventh time at the latest, a block fits into freed memory.
    "for _ in range(20): faults()",
    "print(faults())",
)


def keeps_large_blocks() -> bool:
    """Return whether the C library is a glibc that accepts thresholds above 32 MiB."""
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= (2, 35)


@pytest.mark.skipif(not keeps_large_blocks(), reason="the C library does not keep blocks of 100 MB")
def test_freed_memory_is_reused() -> None:
    # 100 MB are 24414 pages, each cleared by the system on first use; a huge page is 512 pages.
    (without,) = output_of(*FAULTS)
    (ready,) = output_of("make_ready()", *FAULTS)
    assert int(ready) < 5
    assert int(without) > 10


def test_imports_are_frozen_and_later_garbage_is_collected() -> None:
    frozen, enabled, torch_imported = output_of(
        "make_ready()",
        "import gc, sys",
        "print(gc.get_freeze_count() > 100_000, gc.isenabled(), 'torch' in sys.modules)",
    )
    assert (frozen, enabled, torch_imported) == ("True", "True", "True")
    (frozen_objects,) = output_of("import gc, torch", "make_ready()", "print(gc.get_freeze_count())")
    assert frozen_objects == "0"
    (disabled,) = output_of("import gc; gc.disable()", "make_ready()", "print(gc.isenabled())")
    assert disabled == "False"


@pytest.mark.parametrize("library", [object(), OSError("no such library")])
def test_other_c_libraries_are_not_changed(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    calls_made = []

    def open_library(name: None) -> object:
        calls_made.append(name)
        if isinstance(library, OSError):
            raise library
        return library

    monkeypatch.setattr(process.ctypes, "CDLL", open_library)
    monkeypatch.setattr(process.sys, "platform", "linux")
    process._keep_freed_memory()
    assert calls_made == [None]
    monkeypatch.setattr(process.sys, "platform", "darwin")
    process._keep_freed_memory()
    assert calls_made == [None]


@pytest.mark.parametrize(
    ("most", "calls"),
    [
        (2**31 - 1, [(-3, 2**27), (-1, 2**30), (-8, 1)]),
        (2**25, [(-3, 2**27), (-3, 2**25), (-1, 2**30), (-8, 1)]),
        (0, [(-3, 2**27), (-3, 2**25)]),
    ],
    ids=["accepts all", "refuses above 32 MiB", "refuses both"],
)
def test_a_refused_threshold_is_lowered_or_left_alone(
    most: int, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls_made = []

    def mallopt(setting: int, value: int) -> int:
        calls_made.append((setting, value))
        return int(setting != process._MMAP_THRESHOLD or value <= most)

    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr(process.sys, "platform", "linux")
    process._keep_freed_memory()
    assert calls_made == calls


def test_idle_threads_sleep_soon_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    show = ("import os", "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert output_of("make_ready()", *show) == ["passive", "3000"]
    assert output_of("import torch", "make_ready()", *show) == ["None", "None"]  # Too late to set.
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert output_of("make_ready()", *show) == ["active", "None"]
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    assert output_of("make_ready()", *show) == ["None", "0"]
