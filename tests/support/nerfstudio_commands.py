"""Run commands of nerfstudio and nvs-eval in separate processes that share one import of nerfstudio.

The import takes as long as a small training. One process therefore imports nerfstudio, as
`python -m nerfstudio.scripts.train` would, and forks for each command, so that commands do not affect each other. The
process in which nerfacto samples its rays is also forked, which is safe with one thread.
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
    """Process that forks, and folder in which commands run."""

    process: subprocess.Popen[str]
    folder: Path

    def run(self, module: str, *arguments: str) -> str:
        """Run a module as a program, check that it succeeds, and return its stdout."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([module, *arguments]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        out, err = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        assert answer == "0\n", f"{answer}{out[-2000:]}{err[-4000:]}"
        return out


@contextmanager
def nerfstudio_commands(folder: Path, **environment: str) -> Iterator[Commands]:
    """Start the process for commands in a folder. Modules in the folder can be imported.

    Args:
        folder: working directory of the commands.
        environment: environment variables, added to those of this process.
    """
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
    os.dup2(2, 1)  # Keep the output of the import out of the answers.
    import nerfstudio.scripts.eval
    import nerfstudio.scripts.train  # noqa: F401
    from pathos import helpers

    multiprocess: Any = helpers.mp  # Its type stubs lack set_start_method.
    multiprocess.set_start_method("fork")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    os._exit(0)  # Skip the teardown, which takes seconds.


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
        atexit._run_exitfuncs()  # multiprocessing's exit functions end the processes that the command started.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
