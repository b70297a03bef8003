"""nerfstudio's commands and ours, each in a process of its own, of which nerfstudio is imported once.

The import takes as long as a small training. So one process does it, as `python -m nerfstudio.scripts.train` would, and
forks for each command: a command inherits what was imported, and nothing of what another has done. The process in which
nerfacto samples its rays is forked, too, which is safe with one thread.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Commands(NamedTuple):
    """The process that forks, and the folder in which commands run."""

    process: subprocess.Popen[str]
    folder: Path

    def run(self, module: str, *arguments: str) -> str:
        """Run a module as a program; it must succeed. Returns its stdout."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([module, *arguments]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        out, err = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        assert answer == "0\n", f"{answer}{out[-2000:]}{err[-4000:]}"
        return out


@contextmanager
def nerfstudio_commands(folder: Path, **environment: str) -> Iterator[Commands]:
    """Commands in a folder, whose modules can be imported; the environment is added to this one."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Commands(process, folder)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What is printed by the import is no answer.
    import nerfstudio.scripts.eval
    import nerfstudio.scripts.train  # noqa: F401
    from pathos import helpers

    multiprocess: Any = helpers.mp  # Its types know no methods.
    multiprocess.set_start_method("fork")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    os._exit(0)  # To take all apart again would take seconds.


def _become(module: str, *arguments: str) -> None:
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        with open(name, "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.close(sys.stdin.fileno())
    code = 1
    try:
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # Those of multiprocessing end what the command started.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
