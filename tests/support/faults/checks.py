"""Conditions that must hold after a fault: files are whole, inputs are untouched, exit codes and messages are right."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from support.faults.layer import ERRNOS, KILLED, Fault, Point
from support.faults.process import Done, run_forked
from support.faults.scenarios import Scenario

from nvs_eval.errors import InputError
from nvs_eval.records.record import read_record

_STOPPED = {"interrupt": "Interrupted. ", "terminate": "Terminated. "}
# Measurements that differ from run to run or are lost with the process that made them, and a note on a lack of memory.
_VARYING = ("seconds", "started", "peak_memory_bytes", "out_of_memory")
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
            data = json.dumps({**plain, "provenance": provenance}, sort_keys=True).encode()
    elif file.name.startswith("events.out.tfevents."):
        data = _events(file)
    return hashlib.sha256(data).hexdigest()


def _events(file: Path) -> bytes:
    """Return the events of a file of TensorBoard without their times, which are those of scoring."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    parse = import_module("tensorboard.compat.proto.event_pb2").Event.FromString
    events = [parse(data) for data in RawEventFileLoader(str(file)).Load()]
    for event in events:
        event.ClearField("wall_time")
    return b"".join(event.SerializeToString() for event in events)


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
        self._import_all()
        self._restore()
        done = run_forked(self.scenario.call, self.work, count=True)
        assert done.code == 0, done.err
        self.points = list(dict.fromkeys(done.points))
        self.after = contents(self.work)
        assert not [name for name in self.after if is_hidden(name)]

    def _import_all(self) -> None:
        """Run the command in this process and another folder, so that forked processes need no imports."""
        here = Path.cwd()
        os.chdir(shutil.copytree(self._template, self.root / "imports", symlinks=True))
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as messages:
            assert self.scenario.call() == 0, messages.getvalue()
        os.chdir(here)

    @property
    def work(self) -> Path:
        """The folder that the command runs in."""
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
        found = [*self._of_process(fault, done), *self._of_files(point, fault, done)]
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

    def _of_files(self, point: Point, fault: Fault, done: Done) -> Iterator[str]:
        """Check that each file is as before or as afterwards, or an incomplete record."""
        now = contents(self.work)
        visible = {name: content for name, content in now.items() if not is_hidden(name)}
        if done.code == 0 and (differing := _differences(self.after, visible)):
            yield f"exit code 0, but the files differ: {differing}"
        for name, content in now.items():
            if is_hidden(name):
                if ".nvs-eval-" in name and fault.kind != "kill" and point.kind != "unlink":
                    yield f"a temporary file was left: {name}"
            elif content not in (self.before.get(name), self.after.get(name)) and not self._is_partial(name, done):
                yield f"{name} is neither as before nor as it should be"
        for name in self.before:
            # With --overwrite, an incomplete record takes the place of a complete one.
            replaced = self.work / f"{name.removesuffix('.json')}-incomplete.json"
            if name not in now and not (done.code == 3 and replaced.exists()):
                yield f"{name} is gone"
        for name in self.before:
            if name in now and now[name] != self.before[name] and name.split("/")[0] not in self.scenario.writes:
                yield f"{name} was changed"

    def _is_partial(self, name: str, done: Done) -> bool:
        """Return whether a command that could not do all writes such a file: an incomplete record, or a table of it."""
        file = self.work / name
        if file.name.endswith("-incomplete") or (file.suffix == ".failed" and ".suite" in file.parts):
            return done.code == 3
        if done.code != 3 or file.suffix != ".json":
            return done.code == 3 and file.suffix == ".csv" and file.read_text().endswith("\n")
        try:
            return bool(read_record(file).failed)
        except InputError:
            return False


def _differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> str:
    """Name the files that differ; "" for none."""
    names = sorted({*expected, *actual})
    kinds = {name: (name in actual) - (name in expected) for name in names if expected.get(name) != actual.get(name)}
    words = {1: "additional", 0: "another content", -1: "missing"}
    return ", ".join(f"{name} ({words[kind]})" for name, kind in kinds.items())


class Report(NamedTuple):
    """Result of a scenario with faults at many of its points.

    Attributes:
        points: number of points of the command.
        hit: number of points that were reached with a fault.
        faults: number of faults that happened.
        problems: what was wrong, with the point and the fault.
    """

    points: int
    hit: int
    faults: int
    problems: Sequence[str]


def try_points(scenario: Scenario, root: Path, *, sample: int | None = None) -> Report:
    """Try all faults at all points of a scenario, or one fault at each point of a sample."""
    trial = Trial(scenario, root)
    chosen = list(enumerate(trial.points))
    choose = random.Random(scenario.name)
    if sample is not None:
        chosen = choose.sample(chosen, min(sample, len(chosen)))
    hit, faults, problems = 0, 0, []
    for number, point in chosen:
        possible = list(trial.faults(point, number))
        tried = possible if sample is None else [choose.choice(possible)]
        results = {fault: trial.problems(point, fault) for fault in tried}
        hit += any(found is not None for found in results.values())
        for fault, found in results.items():
            faults += found is not None
            problems += [f"{point}, {fault.kind} {fault.errno}: {text}" for text in found or ()]
            problems += [f"{point}, {fault.kind}: not reached"] if found is None else []
    return Report(len(trial.points), hit, faults, problems)
