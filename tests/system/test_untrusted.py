"""A scope in which files of other people are read refuses what they must not cause."""

from __future__ import annotations

import _thread
import ctypes
import importlib.util
import io
import multiprocessing
import os
import pickle
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nvs_eval.errors import InputError
from nvs_eval.system.untrusted import Refused, refusing


class Runs:
    """An object that creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def unpickle() -> None:
    pickle.loads(pickle.dumps(Runs()))


def load_array() -> None:
    file = io.BytesIO()
    np.savez(file, a=np.array([Runs()], dtype=object))
    file.seek(0)
    _ = np.load(file, allow_pickle=True)["a"]


def load_tensors() -> None:
    file = io.BytesIO()
    torch.save(Runs(), file)
    file.seek(0)
    torch.load(file, weights_only=False)


def fork() -> None:
    if not os.fork():
        os._exit(0)


def connect() -> None:
    with socket.socket() as line:
        line.connect(("127.0.0.1", 1))


def touching(name: str = "hubconf.py") -> Path:
    path = Path(name)
    path.write_text("from pathlib import Path\nPath('canary').touch()\ndef model(): pass\n")
    return path


def import_file() -> None:
    spec = importlib.util.spec_from_file_location("theirs", touching())
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def load_library() -> None:
    source = next(Path(torch.__file__).parent.glob("lib/libc10.so"))
    ctypes.CDLL(shutil.copy(source, "theirs.so") and os.path.abspath("theirs.so"))


def pipe() -> None:
    if not Path("pipe").exists():
        os.mkfifo("pipe")
    os.close(os.open("pipe", os.O_RDONLY | os.O_NONBLOCK))


def device() -> None:
    if not Path("device").exists():
        Path("device").symlink_to("/dev/zero")
    Path("device").open("rb").close()


ACTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "pickle": (unpickle, r"unpickle posix\.system"),
    "npz": (load_array, r"unpickle \S*multiarray\._reconstruct"),
    "torch.load": (load_tensors, r"unpickle posix\.system"),
    "subprocess": (lambda: subprocess.run(["touch", "canary"], check=True), r"start a program \(touch canary\)"),
    "shell": (lambda: subprocess.run("touch canary", shell=True, check=True), r"start a program \(.*touch canary\)"),
    "os.system": (lambda: os.system("touch canary"), r"start a program \(touch canary\)"),
    "os.exec": (lambda: os.execv("/bin/touch", ["touch", "canary"]), r"start a program"),
    "os.posix_spawn": (lambda: os.posix_spawn("/bin/touch", ["touch", "canary"], {}), r"start a program"),
    "os.fork": (fork, r"start a process"),
    "multiprocessing": (
        lambda: multiprocessing.get_context("spawn").Process(target=os.getpid).start(),
        r"start a process",
    ),
    "connection": (connect, r"use the network \(127\.0\.0\.1 1\)"),
    "name of a host": (lambda: socket.getaddrinfo("localhost", 80), r"use the network \(localhost 80\)"),
    "urllib": (lambda: urllib.request.urlopen("http://127.0.0.1:1/a"), r"use the network \(http://127\.0\.0\.1:1/a\)"),
    "torch.hub, remote": (lambda: torch.hub.load("no/body", "model", trust_repo="check"), r"use the network"),
    "torch.hub, local": (
        lambda: torch.hub.load(str(touching().absolute().parent), "model", source="local"),
        r"run the Python file .*hubconf\.py",
    ),
    "a file of Python": (import_file, r"run the Python file .*hubconf\.py"),
    "runpy": (lambda: runpy.run_path(str(touching("a.py"))), r"run the Python file .*a\.py"),
    "pipe": (pipe, r"open pipe, which is a pipe"),
    "link to a device": (device, r"open device, which is a pipe, a device"),
    "native library": (load_library, r"load the native library .*theirs\.so"),
}
each_action = pytest.mark.parametrize(("act", "action"), ACTIONS.values(), ids=ACTIONS.keys())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_action
def test_action_is_refused(act: Callable[[], Any], action: str) -> None:
    owner = frozenset({__name__.partition(".")[0]})
    with (
        pytest.raises(Refused, match=rf"^config\.yml: a library tried to {action}.*Use `--trust`"),
        refusing("config.yml"),
    ):
        act()
    with pytest.raises(Refused, match=rf"tried to {action}") as error, refusing("config.yml", owners=owner):
        act()
    assert f"{__name__}." in str(error.value)
    assert not Path("canary").exists()


@each_action
def test_refusal_ends_the_scope_if_its_exception_is_swallowed(act: Callable[[], Any], action: str) -> None:
    with pytest.raises(Refused, match=action), refusing("config.yml"):
        try:
            act()
        except Exception:
            pass
    with pytest.raises(Refused, match=action), refusing("config.yml"):
        try:
            act()
        except Exception as error:
            raise RuntimeError("another error") from error
    assert not Path("canary").exists()


@pytest.mark.parametrize("act", [unpickle, import_file, lambda: subprocess.run(["touch", "canary"], check=True)])
def test_nothing_is_refused_outside(act: Callable[[], Any]) -> None:
    with refusing("config.yml"):
        pass
    act()
    assert Path("canary").exists()


def test_threads_inherit_the_scope() -> None:
    with pytest.raises(Refused, match="touch canary"), refusing("config.yml"):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: os.system("touch canary"), range(3)))
    with pytest.raises(Refused, match="touch canary"), refusing("config.yml"):
        with ThreadPoolExecutor(1) as pool:  # The result is never looked at.
            pool.submit(lambda: os.system("touch canary"))
    done = threading.Event()

    def work() -> None:
        with suppress(InputError):
            os.system("touch canary")
        done.set()

    with pytest.raises(Refused, match="touch canary"), refusing("config.yml"):
        _thread.start_new_thread(work, ())
        assert done.wait(10)
    assert not Path("canary").exists()
    started = threading.Event()
    outside = threading.Thread(target=lambda: (started.wait(10), os.system("true")))
    outside.start()
    with refusing("config.yml"):
        started.set()
        outside.join()


def test_refusals_in_threads_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", reports.append)

    def run_in_a_thread(target: Callable[[], Any]) -> None:
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()

    with pytest.raises(Refused, match="touch canary"), refusing("config.yml"):
        run_in_a_thread(lambda: os.system("touch canary"))
    assert not reports
    with refusing("config.yml"):
        run_in_a_thread(lambda: 1 // 0)
    assert len(reports) == 1


def test_threads_of_a_closed_scope_stay_inside() -> None:
    errors: list[BaseException] = []
    late = threading.Event()

    def work() -> None:
        late.wait(10)
        try:
            os.system("touch canary")
        except InputError as error:
            errors.append(error)

    with refusing("config.yml"):
        thread = threading.Thread(target=work)
        thread.start()
    late.set()
    thread.join()
    assert len(errors) == 1
    assert not Path("canary").exists()


def test_what_readers_need_is_admitted() -> None:
    def work() -> None:
        import collections
        import dataclasses
        import wave  # noqa: F401

        collections.namedtuple("Pair", "a b")(1, 2)
        dataclasses.make_dataclass("Made", ["a"])(1)
        np.save("a.npy", np.zeros(3))
        np.load("a.npy")
        torch.save({"a": torch.ones(2)}, "a.pth")
        torch.load("a.pth", weights_only=True)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(np.load, ["a.npy"] * 4))
        ctypes.CDLL(None)

    sys.modules.pop("wave", None)
    with refusing("config.yml"):
        work()


def test_compilers_of_kernels_may_start_programs() -> None:
    namespace = {"__name__": "torch.utils.cpp_extension", "subprocess": subprocess}
    exec("def build():\n    return subprocess.run(['true'], check=True)", namespace)
    with refusing("config.yml"):
        namespace["build"]()


def test_cost_of_the_hook_is_small() -> None:
    """Outside of scopes, an event costs well below a microsecond; id() is one of the most frequent."""
    with refusing("config.yml"):
        pass
    begun = time.perf_counter()
    for _ in range(100_000):
        sys.audit("builtins.id", 1)
    assert (time.perf_counter() - begun) / 100_000 < 5e-6
