"""Download one file: whole, with the right hash, and without a long wait where there is no internet."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import BinaryIO

from nvs_eval.system.files import file_sha256, write_whole

# A server without an answer by then is taken as out of reach: on a cluster, packets are often dropped in silence.
ANSWER_SECONDS = 10.0
# Between two pieces of a file that is on its way.
STALL_SECONDS = 30.0


class DownloadError(Exception):
    """A download failed, with the reason in a few words."""


def download(url: str, path: Path) -> None:
    """Fetch `url` into `path`, whole or not at all. Progress goes to stderr, and only to a terminal.

    Args:
        url: its file name says the start of the file's sha256, as `alexnet-owt-7be5be79.pth` does.
        path: file to write.

    Raises:
        DownloadError: there is no answer, the download stalled or broke off, or the file has another sha256.
        InputError: the file cannot be written.
    """
    import pooch

    _await_answer(url)
    fetch = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=2**18, timeout=(ANSWER_SECONDS, STALL_SECONDS)
    )

    def write(file: BinaryIO) -> None:
        try:
            fetch(url, file, None)
        except OSError as error:
            raise DownloadError(_reason(error, f"no data for {STALL_SECONDS:g} seconds")) from error
        file.flush()
        sha256, wanted = file_sha256(Path(file.name)), re.findall(r"-([0-9a-f]{8,})\.", url)[-1]
        if not sha256.startswith(wanted):
            raise DownloadError(f"its sha256 begins with {sha256[: len(wanted)]}, needed {wanted}")

    write_whole(path, write)


def _await_answer(url: str) -> None:
    # A time-out counts for each of a host's addresses, and the look-up of its name has none at all: only another
    # thread bounds the whole. It ends with the process, if not before.
    import pooch

    silence = f"no answer within {ANSWER_SECONDS:g} seconds"
    answers: SimpleQueue[OSError | None] = SimpleQueue()

    def ask() -> None:
        failure = None
        try:
            # Any answer will do, a refusal too: the download itself will say why.
            pooch.HTTPDownloader(timeout=ANSWER_SECONDS)(url, "", None, check_only=True)
        except OSError as error:
            failure = error
        answers.put(failure)

    Thread(target=ask, daemon=True).start()
    try:
        error = answers.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise DownloadError(silence) from None
    if error is not None:
        raise DownloadError(_reason(error, silence)) from error


def _reason(error: BaseException, silence: str) -> str:
    """The first cause of an error of requests, whose own text is long."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return silence if isinstance(error, TimeoutError) else str(error) or type(error).__name__
