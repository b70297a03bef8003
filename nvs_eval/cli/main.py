"""Entry point of the command line: parse arguments, run a command, turn errors into messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import fields
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any, get_type_hints

from nvs_eval.errors import InputError

EXIT_INPUT, EXIT_FAULT, EXIT_INTERRUPTED = 2, 70, 130

# Commands in the order of `--help`: the name, which is also the module in `commands`, and the class.
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
_VERSION = "--version"
_DEBUG, _DEBUG_VARIABLE = "--debug", "NVS_EVAL_DEBUG"
# Errors of a device or of the machine. They carry no file name if a stream or an open file raised them.
_DEVICE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.ENOMEM}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments after `nvs-eval` (default: those of the process). `--debug`, or the environment variable
            NVS_EVAL_DEBUG, shows the traceback of every error.

    Returns:
        The exit code: 0 success, 1 negative result (a score got worse, a number is not confirmed), 2 wrong input,
        3 some views, results or part of a suite failed, 70 a bug of nvs-eval or of a plugin, 130 interrupted.
    """
    from nvs_eval.cli.console import input_warnings, say

    _prepare_streams()
    arguments = list(sys.argv[1:] if args is None else args)
    debug = _DEBUG in arguments or os.environ.get(_DEBUG_VARIABLE, "0") not in ("", "0")
    try:
        try:
            arguments = [argument for argument in arguments if argument != _DEBUG]
            with input_warnings():
                return _run(arguments) if arguments else _print_help()
        finally:
            sys.stdout.flush()  # Fail here, even after --help, and not at interpreter exit.
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            return 0  # rich exits this way when the reader of a pipe is gone.
        raise
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _silence_broken()  # The reader of the pipe is done, as with `| head`.
            return 0
        code, message = _explained(error)
        with suppress(OSError):  # stderr itself may be full.
            if debug or code == EXIT_FAULT:
                traceback.print_exception(error)
            say(message, style="" if code == EXIT_INTERRUPTED else "red")
        _silence_broken()
        return code


def _explained(error: Exception | KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit code and the message for an exception that ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "Interrupted. Finished work is kept. Repeat a `run` or `suite` command to continue it."
    if isinstance(error, InputError):
        return EXIT_INPUT, f"Error: {error}"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DEVICE_ERRORS):
        failure = f"The system could not read or write: {error}."
        return EXIT_INPUT, f"Error: {failure} Fix it and run the command again; finished work is kept."
    return EXIT_FAULT, "Error: This is a bug of nvs-eval or of a plugin. Please report it with the lines above."


def _run(args: Sequence[str]) -> int:
    return _print_version() if args[:1] == [_VERSION] else parse(args).run()


def parse(args: Sequence[str]) -> Any:
    """Parse the arguments after `nvs-eval` into a command, whose `run` returns the exit code.

    Raises:
        SystemExit: the arguments contain --help or are wrong. The help or the error has been printed.
        InputError: --method has no value, or an option of several values is repeated.
    """
    import tyro
    from tyro.conf import FlagCreatePairsOff, arg, subcommand

    from nvs_eval.cli.help import description, summary, with_plain_defaults

    commands: list[Any] = []
    for name, kind in _COMMANDS.items():
        options = getattr(import_module(f"nvs_eval.cli.commands.{name}"), kind)
        if args[:1] == [name]:
            commands.append(Annotated[with_plain_defaults(options), subcommand(name, description=description(options))])
        else:
            commands.append(Annotated[options, subcommand(name, description=summary(options))])
    about = (
        "The referee for novel-view synthesis: PSNR, SSIM and LPIPS of held-out views.\n"
        "`nvs-eval COMMAND --help` lists the options of a command.\n"
        "`nvs-eval --version` prints the version.\n"
        "`--debug`, with any command, shows the traceback of an error."
    )
    config = (FlagCreatePairsOff,)
    # Without a help text, tyro searches its own source for one, which takes a fifth of the time of --help.
    command: Any = Annotated[reduce(or_, commands), arg(help="One command")]
    parsed = tyro.cli(command, prog="nvs-eval", description=about, args=args, config=config)
    _check_method(args)
    _check_once(args, parsed)
    return parsed


def _check_method(args: Sequence[str]) -> None:
    """Check that --method has a value: without one, tyro returns the default."""
    for option, value in zip(args, [*args[1:], "-"], strict=True):
        if option == "--method" and value.startswith("-"):
            raise InputError("At least one method is required. Got none. Omit `--method` to use their own names.")


def _check_once(args: Sequence[str], parsed: Any) -> None:
    """Check that no option of several values is repeated: tyro would drop all but the last."""
    given = Counter(arg.partition("=")[0].replace("_", "-") for arg in args)
    hints = get_type_hints(type(parsed), include_extras=True)
    for field in fields(parsed):
        marks = getattr(hints[field.name], "__metadata__", ())
        short = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
        options = [f"--{field.name.replace('_', '-')}", *short]
        times = sum(given[option] for option in options)
        if times > 1 and isinstance(getattr(parsed, field.name), tuple):
            option = max(options, key=given.__getitem__)
            raise InputError(f"{option} must be given once. Got it {times} times. Name all values after one {option}.")


def _print_help() -> int:
    """Print the help on stderr, because a command is missing."""
    with redirect_stdout(sys.stderr), suppress(SystemExit):
        _run(["--help"])
    return EXIT_INPUT


def _print_version() -> int:
    from nvs_eval import __version__
    from nvs_eval.cli.console import put

    put(f"nvs-eval {__version__}\n")
    return 0


# --- stdout and stderr ---


def _prepare_streams() -> None:
    """Make stdout and stderr accept every character, whatever the encoding of the environment.

    Files and pipes get UTF-8. A terminal keeps its encoding and shows unsupported characters as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _reader_is_gone() -> bool:
    """Return whether the reader of stdout or stderr is gone; True if the system cannot tell."""
    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # A replaced stream may have no file descriptor.
            poller.register(stream.fileno(), 0)  # With an empty event mask, poll reports errors only.
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))


def _silence_broken() -> None:
    """Redirect streams that cannot be written to, so that the interpreter does not fail on them at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()
