"""nerfstudio without its chatter, and imported as it needs to be."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from nvs_eval.errors import InputError


@contextmanager
def quiet() -> Iterator[None]:
    """Run nerfstudio's code without what its user can do nothing about.

    nerfstudio 1.1.5 uses what torch and websockets have since deprecated, and prints what it is doing on stdout, which
    is for tables. An error that ends it carries that text as a note, which its traceback shows from Python 3.11 on.

    Raises:
        InputError: nerfstudio asks something: nobody would see the question, and an answer might change the data.
    """
    output = io.StringIO()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(nerfstudio|torch|torchmetrics)(\.|$)")
        try:
            with redirect_stdout(output), _questions_refused(output):
                yield
        except Exception as error:
            if output.getvalue() and hasattr(error, "add_note"):  # Python 3.10 has no notes.
                add_note: Callable[[str], None] = getattr(error, "add_note")  # noqa: B009
                add_note(f"nerfstudio printed before:\n{output.getvalue().rstrip()}")
            raise


@contextmanager
def _questions_refused(output: io.StringIO) -> Iterator[None]:
    stdin, sys.stdin = sys.stdin, _NoAnswers(output)
    try:
        yield
    finally:
        sys.stdin = stdin


class _NoAnswers(io.StringIO):
    """Stands in for stdin: a question is an error that quotes it."""

    def __init__(self, output: io.StringIO) -> None:
        super().__init__()
        self._output = output

    def readline(self, size: int | None = -1, /) -> str:
        question = " ".join(self._output.getvalue().split())
        raise InputError(
            f"nerfstudio has a question before it reads this data: {question!r}. Answer it by starting ns-train "
            "on the data; where downscaled images (images_2, ...) are missing, make them."
        )


def import_nerfstudio() -> None:
    """Import nerfstudio and its plugins, in the one order that works: its registry of methods first.

    Raises:
        InputError: nerfstudio is not installed, or a module that it or a plugin needs is not.
    """
    try:
        with quiet():
            import nerfstudio.configs.method_configs  # noqa: F401
    except ImportError as error:
        if error.name == "nerfstudio":
            raise InputError(
                "A nerfstudio run needs nerfstudio, which is not installed: pip install 'nvs-eval[nerfstudio]'."
            ) from error
        raise InputError(
            f"nerfstudio, or a method registered with it, cannot be imported: {error}. Install what is missing, or "
            "uninstall that method."
        ) from error
