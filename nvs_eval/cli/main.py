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
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import fields, replace
from functools import partial, reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from nvs_eval.cli import stopping
from nvs_eval.errors import InputError, printable, quoted, shortened
from nvs_eval.system.output import drop_output, writing

EXIT_INPUT, EXIT_FAULT = 2, 70

# Commands in the order of `--help`: the name, which is also the module in `commands`, and the class.
_COMMANDS = {
    "run": "Run",
    "score": "Score",
    "audit": "Audit",
    "identify": "Identify",
    "rescore": "Rescore",
    "suite": "SuiteCommand",
    "table": "TableCommand",
    "compare": "Compare",
    "check": "CheckCommand",
    "curve": "CurveCommand",
    "report": "ReportCommand",
    "diagnose": "DiagnoseCommand",
    "figure": "FigureCommand",
    "video": "VideoCommand",
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
_NO_MEMORY = (
    *("Cannot allocate memory", "cannot allocate memory", "failed to map segment", "can't start new thread"),
    *("not enough memory", "can't allocate memory", "out of memory"),  # of torch
)
_LONGEST_REASON, _LONGEST_ERROR = 100, 400
_DEVICE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.ENOMEM}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: arguments after `nvs-eval` (default: those of the process, whose signals are then handled). `--debug`, or
            the environment variable NVS_EVAL_DEBUG, shows the traceback of every error.

    Returns:
        The exit code: 0 success, 1 negative result (a score got worse, a number is not confirmed), 2 wrong input,
        3 some views, results or part of a suite failed, 70 a bug of nvs-eval or of a plugin, 130 interrupted,
        143 terminated.
    """
    try:
        stopping.begin(listen=args is None)
        code = _main(list(sys.argv[1:] if args is None else args))
    except KeyboardInterrupt:
        return _stopped()
    return _stopped() if stopping.is_stopped() else code


def _main(arguments: list[str]) -> int:
    from nvs_eval.cli.console import input_warnings, say
    from nvs_eval.system.library_caches import redirect_caches

    _prepare_streams()
    redirect_caches()
    debug = _DEBUG in arguments or os.environ.get(_DEBUG_VARIABLE, "0") not in ("", "0")
    try:
        try:
            arguments = [argument for argument in arguments if argument != _DEBUG]
            with input_warnings():
                return _run(arguments) if arguments else _print_help()
        finally:
            with writing(sys.stdout):
                sys.stdout.flush()  # Fail here, even after --help, and not at interpreter exit.
    except BaseException as error:
        stops = stopping.is_stopped() or isinstance(error, KeyboardInterrupt)
        if isinstance(error, SystemExit) and not stops:
            raise
        code, lines = (0, []) if stops else _explained(error)
        with suppress(OSError):  # stderr itself may be full.
            if debug or code == EXIT_FAULT:
                say(*"".join(traceback.format_exception(error)).splitlines())
            if lines:
                say(*lines, style="red")
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                drop_output(stream)
        if stops:
            raise KeyboardInterrupt from error  # A library may have turned it into another exception.
        return code


def _stopped() -> int:
    stopping.announce()
    return stopping.exit_code()


def _explained(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code and the lines of the message for an exception that ended a command."""
    if isinstance(error, InputError):
        return EXIT_INPUT, [f"Error: {error}"]
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return 0, []  # The case of `--help | head`.
    if message := _explained_by_system(error):
        return EXIT_INPUT, [f"Error: {message}"]
    return EXIT_FAULT, ["Error: This is a bug of nvs-eval or of a plugin. Please report it with the lines above."]


def _explained_by_system(error: BaseException) -> str:
    """Return the message for an error of the system that nothing has turned into an InputError; "" for other errors."""
    if isinstance(error, MemoryError) or any(clue in str(error) for clue in _NO_MEMORY):
        reason = f"This process has no more memory ({shortened(str(error) or 'MemoryError', _LONGEST_REASON)})."
        return f"{reason} Free some, or raise its limit (`ulimit -v`); finished work is kept."
    if isinstance(error, UnicodeEncodeError):
        advice = "Set the environment variable LC_ALL=C.UTF-8, or rename it."
        return f"{quoted(error.object)} cannot be the name of a file on this system. {advice}"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DEVICE_ERRORS):
        reason = shortened(str(error), _LONGEST_ERROR)
        return f"The system could not read or write: {reason}. Fix it and run the command again; finished work is kept."
    return ""


def _run(args: Sequence[str]) -> int:
    if args[:1] == [_VERSION]:
        return _print_version()
    with writing(sys.stdout):  # By --help.
        command = parse(args)
    return command.run()


def parse(args: Sequence[str]) -> Any:
    """Parse the arguments after `nvs-eval` into a command, whose `run` returns the exit code.

    Raises:
        SystemExit: the arguments contain --help or are wrong. The help or the error has been printed.
        InputError: --method has no value, or an option of several values is repeated.
    """
    import tyro
    from tyro.conf import FlagCreatePairsOff, arg, subcommand

    from nvs_eval.cli.help import description, least_width, summary, with_plain_defaults

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
    parse_all = partial(tyro.cli, command, prog="nvs-eval", description=about, config=config)
    with least_width():
        if not "".join(args).isprintable():  # Errors quote arguments, which may be names of files.
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), suppress(SystemExit):
                return _checked(args, parse_all(args=args))
            args = list(map(printable, args))
        return _checked(args, parse_all(args=args))


def _checked(args: Sequence[str], parsed: Any) -> Any:
    """Return the parsed command after checks that tyro does not make."""
    _check_method(args)
    _check_once(args, parsed)
    return replace(parsed, **_expanded(parsed))


def _check_method(args: Sequence[str]) -> None:
    """Check that --method has a value: without one, tyro returns the default."""
    for option, value in zip(args, [*args[1:], "-"], strict=True):
        if option == "--method" and value.startswith("-"):
            raise InputError("At least one method is required. Got none. Omit `--method` to use their own names.")


def _check_once(args: Sequence[str], parsed: Any) -> None:
    """Check that no option of several values is repeated: tyro would drop all but the last."""
    from tyro.conf import UseAppendAction

    given = Counter(arg.partition("=")[0].replace("_", "-") for arg in args)
    hints = get_type_hints(type(parsed), include_extras=True)
    for field in fields(parsed):
        marks = getattr(hints[field.name], "__metadata__", ())
        short = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
        options = [f"--{field.name.replace('_', '-')}", *short]
        times = sum(given[option] for option in options)
        if times > 1 and UseAppendAction not in marks and isinstance(getattr(parsed, field.name), tuple):
            option = max(options, key=given.__getitem__)
            raise InputError(f"{option} must be given once. Got it {times} times. Name all values after one {option}.")


def _expanded(parsed: Any) -> dict[str, Any]:
    """Return the options whose paths begin with a home folder (`~/x`), with that folder.

    Raises:
        InputError: there is no such user.
    """

    def expand(path: Any) -> Any:
        if not isinstance(path, Path) or not path.parts or path.parts[0][0] != "~" or os.path.lexists(path.parts[0]):
            return path
        try:
            return path.expanduser()
        except RuntimeError as error:
            name = quoted(path.parts[0][1:])
            raise InputError(f"{path} begins with the home folder of {name}, but there is no such user.") from error

    values = {field.name: getattr(parsed, field.name) for field in fields(parsed)}
    new = {name: tuple(map(expand, v)) if isinstance(v, tuple) else expand(v) for name, v in values.items()}
    return {name: value for name, value in new.items() if value != values[name]}


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

    Files and pipes get UTF-8. A terminal keeps its encoding and shows unsupported characters as escapes. A stream that
    the caller has closed (`>&-`) is dropped; otherwise the next file that is opened would take its place.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest number that is free.
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))
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
