"""Running nerfstudio without its output, and importing it in the right order."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from nvs_eval.errors import InputError, shortened
from nvs_eval.system.devices import out_of_memory

_REGISTRY = "nerfstudio.configs.method_configs"
_PARTS = ("nerfstudio.data.", "nerfstudio.models.", "nerfstudio.pipelines.")
"""Packages of the modules of methods, which the registry imports too."""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress nerfstudio's warnings and output, and refuse its prompts.

    nerfstudio 1.1.5 uses deprecated parts of torch and websockets, and prints its progress on stdout, which is reserved
    for tables. An error carries the suppressed output as a note, shown in tracebacks from Python 3.11 on.

    Raises:
        InputError: if nerfstudio prompts the user. Nobody would see the prompt, and an answer might change the data.
    """
    output = io.StringIO()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"nerfstudio(\.|$)")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(nerfstudio|torch|torchmetrics)(\.|$)")
        try:
            with redirect_stdout(output), _questions_refused(output):
                yield
        except Exception as error:
            if output.getvalue() and hasattr(error, "add_note"):  # Python 3.10 has no notes.
                add_note: Callable[[str], None] = getattr(error, "add_note")  # noqa: B009
                add_note(f"nerfstudio had printed:\n{output.getvalue().rstrip()}")
            raise


@contextmanager
def _questions_refused(output: io.StringIO) -> Iterator[None]:
    stdin, sys.stdin = sys.stdin, _NoAnswers(output)
    try:
        yield
    finally:
        sys.stdin = stdin


class _NoAnswers(io.StringIO):
    """A stdin whose reading raises an error that quotes the prompt."""

    def __init__(self, output: io.StringIO) -> None:
        super().__init__()
        self._output = output

    def readline(self, size: int | None = -1, /) -> str:
        question = " ".join(self._output.getvalue().split())
        raise InputError(
            f"nerfstudio asks a question before it reads this data: {question!r}. Start ns-train on the data to answer "
            "it, or create downscaled images (images_2, ...) if they are missing."
        )


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turn any error of a model into an InputError. A lack of memory passes.

    Args:
        what: what may fail, with which the message begins.

    Raises:
        InputError: it failed, for example because a value of the configuration is impossible.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and out_of_memory(error):
            raise
        reason = shortened((str(error) or repr(error)).split("\n", 1)[0].rstrip("."), 200)
        raise InputError(f"{what} fails: {type(error).__name__}: {reason}.") from error


def import_nerfstudio(modules: Collection[str] | None = None) -> None:
    """Import nerfstudio, and its registry of methods unless a configuration that names these modules needs no plugin.

    The registry imports all plugins and builds the command line of every method, which takes as long as the rest of
    nerfstudio. Modules of plugins may require that it is imported first.

    Args:
        modules: modules of nerfstudio and its plugins that a configuration names (default: the registry is imported).

    Raises:
        InputError: if nerfstudio is not installed, or if a module that nerfstudio or a plugin imports is missing.
    """
    needs_registry = modules is None or not all(name.startswith("nerfstudio.") for name in modules)
    try:
        with quiet():
            # One of these comes first, because the modules of nerfstudio import each other.
            importlib.import_module(_REGISTRY if needs_registry else "nerfstudio.engine.trainer")
            for name in sorted(modules or ()):
                if name.startswith(_PARTS):
                    with suppress(Exception):  # The loader names the line.
                        importlib.import_module(name)
    except ImportError as error:
        if error.name == "nerfstudio":
            raise InputError(
                "Evaluating a nerfstudio run requires nerfstudio. Install it with pip install 'nvs-eval[nerfstudio]'."
            ) from error
        raise InputError(
            f"nerfstudio or one of its registered methods cannot be imported: {error}. Install the missing package, or "
            "uninstall the method."
        ) from error
