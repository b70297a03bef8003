"""Downloads of methods that build further networks, such as CLIP and DINO of lerf."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nvs_eval.errors import InputError

_SECONDS = 20.0
"""Time to wait for a server that does not answer."""
_PACKAGES = ("urllib", "urllib3", "http", "requests", "httpx", "httpcore", "huggingface_hub")


@contextmanager
def downloads_explained(method: str) -> Iterator[None]:
    """Turn a download that fails while a model is built into an error that says how to work offline.

    Raises:
        InputError: if a server cannot be reached or does not answer in time.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if (reason := _network_error(error)) is None:
            raise
        raise InputError(
            f"Building {method} downloads a network, which failed: {reason}. Run the command once with internet "
            f"access, or copy the caches of torch ({torch.hub.get_dir()}, see TORCH_HOME) and Hugging Face (see "
            "HF_HOME) from a machine that has them."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _network_error(error: BaseException | None) -> str | None:
    """Return the first line of the error of the network that caused another one, or None."""
    while error is not None:
        package = type(error).__module__.partition(".")[0]
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or package in _PACKAGES:
            return (str(error) or type(error).__name__).split("\n", 1)[0].rstrip(".")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None
