"""The command line: one module a command; the only place that prints or exits.

The modules of the commands import nothing heavy, so that `nvs-eval --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

EXIT_INPUT, EXIT_INTERRUPTED = 2, 130


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: as after `nvs-eval`; those of the process if None.

    Returns:
        The exit code: 0 done, 1 the answer is no (a number is not confirmed), 2 the input was wrong, 3 some of a suite
        was not done, 130 interrupted.
    """
    from nvs_eval.cli.console import say
    from nvs_eval.cli.streams import prepare, silence_broken

    prepare()
    try:
        return _answer(args)
    except BrokenPipeError:
        silence_broken()  # Whoever read the table has seen enough of it: `| head`.
        return 0
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            return 0  # The same, as rich puts it.
        raise
    except OSError as error:
        said = f"The system refused to read or write: {error}. What is finished is kept: when that is mended, go on."
        with suppress(OSError):  # It may be stderr that is full.
            say(f"Error: {said}", style="red")
        silence_broken()
        return EXIT_INPUT


def _answer(args: Sequence[str] | None) -> int:
    """What a command answers, all of it written; what the user is to know of errors is said."""
    from nvs_eval.cli.console import say
    from nvs_eval.errors import InputError

    try:
        return _run(args)
    except InputError as error:
        say(f"Error: {error}", style="red")
        return EXIT_INPUT
    except KeyboardInterrupt:
        say("Interrupted. What is finished is kept; of `run` and `suite`, the same command goes on from there.")
        return EXIT_INTERRUPTED
    finally:
        sys.stdout.flush()  # What fails is to fail here, that of a --help too, and not when the interpreter ends.


def _run(args: Sequence[str] | None) -> int:
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
    description = "The referee for novel-view synthesis: PSNR, SSIM and LPIPS of held-out views, exact and comparable."
    config = (FlagCreatePairsOff,)
    return tyro.cli(commands, prog="nvs-eval", description=description, args=args, config=config).run()
