"""nerfstudio without its chatter."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from nvs_eval.errors import InputError


@contextmanager
def quiet() -> Iterator[None]:
    """Run nerfstudio's code without what its user can do nothing about.

    nerfstudio 1.1.5 uses what torch and websockets have since deprecated, and says on the standard output, which is for
    tables, what it is doing. Where it fails, what it said goes to the standard error.

    Raises:
        InputError: it asks something: the question would not be seen, and an answer might change the data.
    """
    said = io.StringIO()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(nerfstudio|torch|torchmetrics)(\.|$)")
        try:
            with redirect_stdout(said), _no_answers(said):
                yield
        except InputError:
            raise
        except BaseException:
            sys.stderr.write(said.getvalue())
            raise


@contextmanager
def _no_answers(said: io.StringIO) -> Iterator[None]:
    before, sys.stdin = sys.stdin, _NoAnswers(said)
    try:
        yield
    finally:
        sys.stdin = before


class _NoAnswers(io.StringIO):
    def __init__(self, said: io.StringIO) -> None:
        super().__init__()
        self._said = said

    def readline(self, size: int | None = -1, /) -> str:
        raise InputError(
            f"nerfstudio has a question before it reads this data: {' '.join(self._said.getvalue().split())!r}. Answer "
            "it by starting ns-train on the data; where downscaled images (images_2, ...) are missing, make them."
        )
