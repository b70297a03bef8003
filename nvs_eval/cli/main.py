"""The entrance of the command line: parse, run one command, and turn errors into messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from nvs_eval.errors import InputError

EXIT_INPUT, EXIT_FAULT, EXIT_INTERRUPTED = 2, 70, 130

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
    from nvs_eval.cli.streams import prepare, reader_is_gone, silence_broken

    prepare()
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
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            silence_broken()  # Whoever read the table has seen enough of it: `| head`.
            return 0
        code, message = _explained(error)
        with suppress(OSError):  # It may be stderr that is full.
            if debug or code == EXIT_FAULT:
                traceback.print_exception(error)
            say(message, style="" if code == EXIT_INTERRUPTED else "red")
        silence_broken()
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

    from nvs_eval.cli.commands.audit import Audit
    from nvs_eval.cli.commands.check import CheckCommand
    from nvs_eval.cli.commands.compare import Compare
    from nvs_eval.cli.commands.curve import CurveCommand
    from nvs_eval.cli.commands.demo import Demo
    from nvs_eval.cli.commands.export import ExportCommand
    from nvs_eval.cli.commands.inspect import Inspect
    from nvs_eval.cli.commands.protocols import ProtocolsCommand
    from nvs_eval.cli.commands.published import PublishedCommand
    from nvs_eval.cli.commands.rescore import Rescore
    from nvs_eval.cli.commands.run import Run
    from nvs_eval.cli.commands.score import Score
    from nvs_eval.cli.commands.suite import SuiteCommand
    from nvs_eval.cli.commands.table import TableCommand
    from nvs_eval.cli.commands.verify import Verify
    from nvs_eval.cli.commands.weights import Weights

    commands = (
        Annotated[Run, subcommand("run")]
        | Annotated[Score, subcommand("score")]
        | Annotated[Audit, subcommand("audit")]
        | Annotated[Rescore, subcommand("rescore")]
        | Annotated[SuiteCommand, subcommand("suite")]
        | Annotated[TableCommand, subcommand("table")]
        | Annotated[Compare, subcommand("compare")]
        | Annotated[CheckCommand, subcommand("check")]
        | Annotated[CurveCommand, subcommand("curve")]
        | Annotated[Inspect, subcommand("inspect")]
        | Annotated[ExportCommand, subcommand("export")]
        | Annotated[ProtocolsCommand, subcommand("protocols")]
        | Annotated[PublishedCommand, subcommand("published")]
        | Annotated[Verify, subcommand("verify")]
        | Annotated[Weights, subcommand("weights")]
        | Annotated[Demo, subcommand("demo")]
    )
    description = (
        "The referee for novel-view synthesis: PSNR, SSIM and LPIPS of held-out views, exact and comparable. "
        "With --debug any command shows the traceback of an error."
    )
    config = (FlagCreatePairsOff,)
    return tyro.cli(commands, prog="nvs-eval", description=description, args=args, config=config).run()
