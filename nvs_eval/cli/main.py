"""The entrance of the command line: parse, run one command, and turn errors into messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any

from nvs_eval.errors import InputError

EXIT_INPUT, EXIT_FAULT, EXIT_INTERRUPTED = 2, 70, 130

# Each command's module in `commands`, by its name, and the class in it, in the order of `--help`.
_COMMANDS = {
    "run": "Run",
    "score": "Score",
    "audit": "Audit",
    "rescore": "Rescore",
    "suite": "SuiteCommand",
    "table": "TableCommand",
    "compare": "Compare",
    "check": "CheckCommand",
    "curve": "CurveCommand",
    "inspect": "Inspect",
    "export": "ExportCommand",
    "protocols": "ProtocolsCommand",
    "published": "PublishedCommand",
    "verify": "Verify",
    "weights": "Weights",
    "demo": "Demo",
}
_DEBUG, _DEBUG_VARIABLE = "--debug", "NVS_EVAL_DEBUG"
# Errors of a device or of this machine: where they come from a stream or an open file they name none.
_DEVICE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.ENOMEM}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments after `nvs-eval` (default: those of the process). `--debug` among them, or the environment
            variable NVS_EVAL_DEBUG, shows the traceback of every error.

    Returns:
        The exit code: 0 done, 1 the answer is no (a number is not confirmed), 2 the input was wrong, 3 some of a suite
        was not done, 70 a fault of this program or a plugin, 130 interrupted.
    """
    from nvs_eval.cli.console import say

    _prepare_streams()
    arguments = list(sys.argv[1:] if args is None else args)
    debug = _DEBUG in arguments or os.environ.get(_DEBUG_VARIABLE, "0") not in ("", "0")
    try:
        try:
            return _run([argument for argument in arguments if argument != _DEBUG])
        finally:
            sys.stdout.flush()  # Fail here, also after --help, and not when the interpreter ends.
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            return 0  # rich's way to end where nobody reads the table any more.
        raise
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _silence_broken()  # Whoever read the table has seen enough of it: `| head`.
            return 0
        code, message = _explained(error)
        with suppress(OSError):  # It may be stderr that is full.
            if debug or code == EXIT_FAULT:
                traceback.print_exception(error)
            say(message, style="" if code == EXIT_INTERRUPTED else "red")
        _silence_broken()
        return code


def _explained(error: Exception | KeyboardInterrupt) -> tuple[int, str]:
    """Exit code and message of what ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return (
            EXIT_INTERRUPTED,
            "Interrupted. What is finished is kept; of `run` and `suite`, the same command goes on from there.",
        )
    if isinstance(error, InputError):
        return EXIT_INPUT, f"Error: {error}"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DEVICE_ERRORS):
        refusal = f"The system refused to read or write: {error}."
        return EXIT_INPUT, f"Error: {refusal} What is finished is kept: when that is mended, go on."
    return EXIT_FAULT, "Error: This is a fault of nvs-eval or of a plugin. Please report it with the lines above."


def _run(args: Sequence[str]) -> int:
    import tyro
    from tyro.conf import FlagCreatePairsOff, subcommand

    commands: Any = [
        Annotated[getattr(import_module(f"nvs_eval.cli.commands.{name}"), kind), subcommand(name)]
        for name, kind in _COMMANDS.items()
    ]
    description = (
        "The referee for novel-view synthesis: PSNR, SSIM and LPIPS of held-out views, exact and comparable. "
        "With --debug any command shows the traceback of an error."
    )
    config = (FlagCreatePairsOff,)
    return tyro.cli(reduce(or_, commands), prog="nvs-eval", description=description, args=args, config=config).run()


# --- stdout and stderr ---


def _prepare_streams() -> None:
    """Make stdout and stderr take every letter, whatever the environment says of its encoding.

    A file or pipe gets UTF-8. A terminal keeps the encoding that it has, and shows what that lacks as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _reader_is_gone() -> bool:
    """Whether nobody reads stdout or stderr any more; True where the system cannot tell."""
    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # A stand-in for a stream has no file.
            poller.register(stream.fileno(), 0)  # Without events to wait for, it tells of errors alone.
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))


def _silence_broken() -> None:
    """Let nothing more be written to a stream that cannot be written to, when the interpreter ends neither."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()
