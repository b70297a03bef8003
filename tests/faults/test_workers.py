"""Workers that die: the threads that read images ahead, and those that hash references."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said

from nvs_eval.images import files
from nvs_eval.images.stored import Stored
from nvs_eval.system.prefetch import prefetch

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")
SCORE += ("--output-dir", "out")

pytestmark = pytest.mark.usefixtures("here")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the decoder of one render raise an error."""
    decode = files._decode

    def fail(path: Path, stored: Stored) -> object:
        if path.match("theirs/0002.png"):
            raise error
        return decode(path, stored)

    monkeypatch.setattr(files, "_decode", fail)


@pytest.mark.parametrize("error", [RuntimeError("the decoder broke"), OSError(5, "Input/output error"), KeyError("x")])
def test_a_decoder_that_raises_costs_its_view(
    error: BaseException, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    result = cli(*SCORE)
    assert result.code == 3
    assert (
        "View '0002' of garden/theirs was not scored. garden/theirs/0002.png cannot be read as an image" in result.err
    )
    assert sorted(path.name.endswith("-incomplete.json") for path in Path("out").rglob("*.json")) == [False, True]


@pytest.mark.parametrize(("error", "code"), [(MemoryError(), 2), (GeneratorExit(), 70)])
def test_a_worker_that_dies_ends_the_command(
    error: BaseException, code: int, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    assert cli(*SCORE).code == code
    assert not [*Path("out").rglob("*.json")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nvs-eval-ahead")]


def test_a_hash_that_cannot_be_computed_ends_the_command(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise RuntimeError("the hash broke")

    monkeypatch.setattr("nvs_eval.evaluation.rows.sha256_of_image", fail)
    result = cli(*SCORE)
    assert result.code == 70
    assert "the hash broke" in result.err


def test_a_thread_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        next(prefetch([[lambda: 1]]))
