"""Conditions that must hold after a fault: files are whole, inputs are untouched, exit codes and messages are right."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.faults.layer import ERRNOS, KILLED, Fault, Point
from support.faults.process import Done, run_forked
from support.faults.scenarios import Scenario

from nvs_eval.errors import InputError
from nvs_eval.records.record import read_record

_STOPPED = {"interrupt": "Interrupted. ", "terminate": "Terminated. "}
_VARYING = ("seconds", "started")
_INTERNAL = re.compile(r"\.nvs-eval-|\.rendering-|None\b|0\.0 MB|Traceback|Exception ignored")
_HIDDEN = re.compile(r"(^|/)\.(nvs-eval-|rendering-|partial)")


def contents(folder: Path) -> dict[str, str]:
    """Return what identifies the content of each file below a folder: the hash of its bytes, without times."""
    return {file.relative_to(folder).as_posix(): _content(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def _content(file: Path) -> str:
    data = file.read_bytes()
    if file.suffix == ".json":
        try:
            plain = json.loads(data)
        except ValueError:
            return "damaged"
        if isinstance(plain, dict) and "provenance" in plain:
            provenance = {k: v for k, v in plain["provenance"].items() if k not in _VARYING}
            data = json.dumps({**plain, "provenance": provenance}).encode()
    return hashlib.sha256(data).hexdigest()


def is_hidden(name: str) -> bool:
    """Return whether a file is work in progress."""
    return bool(_HIDDEN.search(name))


@dataclass
class Trial:
    """A scenario in a folder of its own, which is restored before each fault.

    Attributes:
        scenario: the scenario.
        root: folder for its files.
    """

    scenario: Scenario
    root: Path
    before: Mapping[str, str] = field(init=False)
    after: Mapping[str, str] = field(init=False)
    points: Sequence[Point] = field(init=False)

    def __post_init__(self) -> None:
        self._template = self.scenario.prepare(self.root / "template")
        self.before = contents(self._template)
        self._restore()
        done = run_forked(self.scenario.call, self.work, count=True)
        assert done.code == 0, done.err
        self.points = list(dict.fromkeys(done.points))
        self.after = contents(self.work)
        assert not [name for name in self.after if is_hidden(name)]

    @property
    def work(self) -> Path:
        return self.root / "work"

    def _restore(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self._template, self.work, symlinks=True)

    def faults(self, point: Point, number: int) -> Iterator[Fault]:
        """Return the faults to try at a point; the error of a file differs from point to point."""
        if point.kind in ("allocate", "thread"):
            yield Fault("memory", number)
        else:
            yield Fault("error", ERRNOS[number % len(ERRNOS)])
            yield Fault("kill")
            yield Fault("terminate" if number % 3 == 0 else "interrupt")

    def problems(self, point: Point, fault: Fault) -> list[str] | None:
        """Try a fault at a point, and return what is wrong afterwards; None if the point was not reached."""
        self._restore()
        done = run_forked(self.scenario.call, self.work, at=point, fault=fault)
        if not done.hit:
            return None
        found = [*self._of_process(fault, done), *self._of_files(fault, done)]
        again = run_forked(self.scenario.call, self.work)
        if again.code != 0:
            found.append(f"the repeat ended with {again.code}: {again.err}")
        elif differing := _differences(self.after, contents(self.work)):
            found.append(f"the repeat made other files: {differing}")
        return [f"{text}\n    stderr: {done.err}" for text in found]

    @staticmethod
    def _of_process(fault: Fault, done: Done) -> Iterator[str]:
        """Check the exit code and stderr."""
        if match := _INTERNAL.search(done.err):
            yield f"stderr has {match[0]!r}"
        if "damaged" in done.err:
            yield "stderr says that a file is damaged"
        codes = {"kill": (KILLED,), "interrupt": (130,), "terminate": (143,)}.get(fault.kind, (0, 2, 3))
        if done.code not in codes:
            yield f"exit code {done.code}, not {' or '.join(map(str, codes))}"
        if fault.kind in _STOPPED and done.err.count(_STOPPED[fault.kind]) != 1:
            yield "stderr does not say once that it was stopped"
        cause = {"error": os.strerror(fault.errno), "memory": "memory|thread"}.get(fault.kind, "")
        if done.code and not re.search(cause, done.err, re.IGNORECASE):
            yield f"stderr does not name the cause {cause!r}"

    def _of_files(self, fault: Fault, done: Done) -> Iterator[str]:
        """Check that each file is as before or as afterwards, or an incomplete record."""
        now = contents(self.work)
        if done.code == 0 and (differing := _differences(self.after, now)):
            yield f"exit code 0, but the files differ: {differing}"
        for name, content in now.items():
            if is_hidden(name):
                if ".nvs-eval-" in name and fault.kind != "kill":
                    yield f"a temporary file was left: {name}"
            elif content not in (self.before.get(name), self.after.get(name)) and not self._is_incomplete(name, done):
                yield f"{name} is neither as before nor as it should be"
        for name in self.before:
            if name not in now:
                yield f"{name} is gone"
        for name in self.before:
            if name in now and now[name] != self.before[name] and name.split("/")[0] not in self.scenario.writes:
                yield f"{name} was changed"

    def _is_incomplete(self, name: str, done: Done) -> bool:
        try:
            return done.code == 3 and bool(read_record(self.work / name).failed)
        except InputError:
            return False


def _differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> str:
    """Name the files that differ; "" for none."""
    names = sorted({*expected, *actual})
    kinds = {name: (name in actual) - (name in expected) for name in names if expected.get(name) != actual.get(name)}
    words = {1: "additional", 0: "another content", -1: "missing"}
    return ", ".join(f"{name} ({words[kind]})" for name, kind in kinds.items())
