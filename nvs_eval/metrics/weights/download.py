"""Downloading one file, without ever waiting long where there is no internet."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

# A server that has not answered by then is taken as out of reach: on a cluster, packets are often dropped in silence.
ANSWER_SECONDS = 10.0
# Between two pieces of a file that is on its way.
STALL_SECONDS = 30.0


def download(url: str, path: Path) -> None:
    """Fetch ``url`` into ``path``, checked by the start of the sha256 that torch writes into its files' names.

    Progress goes to stderr, and only to a terminal. Nothing is left behind by a download that failed.

    Raises:
        OSError: There is no answer, the download broke off, its sha256 is another, or ``path`` cannot be written.
    """
    import torch.hub

    prefix = re.search(r"-([0-9a-f]{8,})\.", url)
    try:
        _await_answer(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _stalls_end():
            torch.hub.download_url_to_file(
                url, str(path), prefix.group(1) if prefix else None, progress=sys.stderr.isatty()
            )
    except (RuntimeError, http.client.HTTPException) as error:
        raise OSError(str(error) or type(error).__name__) from error


def _await_answer(url: str) -> None:
    # A timeout of a connection counts for each of a host's addresses, and the look-up of a name has none at all: only
    # another thread bounds the whole. It ends with the process, if not before.
    failures: list[Exception] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ANSWER_SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()  # An answer, though not to this question: the download itself will say.
        except Exception as error:
            failures.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if asking.is_alive():
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} seconds")
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _stalls_end() -> Iterator[None]:
    # torch.hub opens its address without a timeout, so the process-wide one is all that can be set.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
