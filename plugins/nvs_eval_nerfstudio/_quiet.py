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
    """
    said = io.StringIO()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(nerfstudio|torch|torchmetrics)(\.|$)")
        try:
            with redirect_stdout(said):
                yield
        except InputError:
            raise
        except BaseException:
            sys.stderr.write(said.getvalue())
            raise
