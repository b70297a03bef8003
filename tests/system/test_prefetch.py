"""Prefetching: order of the results, place of errors, number of groups ahead, and the end of all threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import torch
from support.protocols import LIGHT, protocol_of
from support.scenes import write_pngs
from support.views import views_of

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import load_image
from nvs_eval.sources.folders import ImageFiles, open_folders
from nvs_eval.sources.pictures import Picture
from nvs_eval.system.prefetch import GROUPS_AHEAD, prefetch

SOON = 10.0
"""Timeout in seconds, which is reached only if a test fails."""
NAMES = {f"{number:02}": number for number in range(8)}


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("nvs-eval-ahead")]


def fail(error: BaseException) -> int:
    raise error


@pytest.fixture
def source(tmp_path: Path) -> ImageFiles:
    """Eight views of one result."""
    gt = write_pngs(tmp_path / "scene" / "gt", NAMES)
    renders = write_pngs(tmp_path / "scene" / "a", {name: seed + 100 for name, seed in NAMES.items()})
    (opened,) = open_folders([renders], reference=gt)
    return opened


# --- Order ----------------------------------------------------------------------------------------------------------


def test_results_come_in_order_of_the_calls() -> None:
    last_is_done = threading.Event()

    def slow() -> str:
        assert last_is_done.wait(SOON)
        return "slow"

    def quick() -> str:
        last_is_done.set()
        return "quick"

    # The quick call comes first, so that this works with a single thread too.
    groups: list[list[Callable[[], str]]] = [[quick, slow], [lambda: "next"], []]
    assert list(prefetch(groups)) == [["quick", "slow"], ["next"], []]


def test_no_calls_give_no_results() -> None:
    assert list(prefetch([])) == []


def test_views_have_the_images_of_their_files_in_order(source: ImageFiles) -> None:
    assert [view.name for view in source] == list(NAMES)
    for view in views_of(source):
        assert view.reference_file is not None
        assert view.renders[0].file is not None
        assert torch.equal(view.reference, load_image(view.reference_file))
        assert torch.equal(view.renders[0].image, load_image(view.renders[0].file))


# --- How far ahead --------------------------------------------------------------------------------------------------


def test_nothing_starts_early_and_then_two_groups_ahead() -> None:
    taken: list[int] = []

    def groups() -> Iterator[Sequence[Callable[[], int]]]:
        for number in range(10):
            taken.append(number)
            yield [partial(int, number)]

    results = prefetch(groups())
    assert taken == []
    for number in range(10):
        assert next(results) == [number]
        assert len(taken) == min(10, number + 1 + GROUPS_AHEAD)


def test_a_source_opens_no_file_further_ahead(source: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[str] = set()
    original = Picture.load_file

    def load_file(picture: Picture, *args: object) -> object:
        opened.add(picture.path.stem)
        return original(picture, *args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Picture, "load_file", load_file)
    names = list(NAMES)
    with closing(iter(source)) as views:
        for number in range(3):
            next(views)
            assert names[number] in opened <= set(names[: number + 1 + GROUPS_AHEAD])


def test_used_results_are_freed() -> None:
    class Image:
        pass

    freed = threading.Event()
    with closing(prefetch([[Image], [Image], [Image]])) as results:
        (image,) = next(results)
        weakref.finalize(image, freed.set)
        del image
        next(results)
        assert freed.wait(SOON)


# --- Errors ---------------------------------------------------------------------------------------------------------


def test_an_error_is_raised_instead_of_the_results_of_its_group() -> None:
    error = InputError("the third")
    results = prefetch(
        [[partial(int, 0)], [partial(int, 1)], [partial(fail, error), partial(int, 2)], [partial(int, 3)]]
    )
    assert [next(results), next(results)] == [[0], [1]]
    with pytest.raises(InputError, match="the third"):
        next(results)
    assert list(results) == []
    assert prefetch_threads() == []


def test_the_first_of_several_errors_is_raised() -> None:
    groups = [[partial(fail, InputError("first")), partial(fail, InputError("second"))]]
    with pytest.raises(InputError, match="first"):
        next(prefetch(groups))


def test_a_damaged_file_is_reported_at_its_view(source: ImageFiles) -> None:
    file = Path(str(source.references["03"]))
    file.write_bytes(file.read_bytes()[:200])
    failed = {view.name: view.failed for view in source if view.failed}
    assert list(failed) == ["03"]
    assert "03.png cannot be read" in str(failed["03"][0])
    assert prefetch_threads() == []


# --- The end --------------------------------------------------------------------------------------------------------


def test_all_threads_have_ended_at_the_end(source: ImageFiles) -> None:
    views = iter(source)
    next(views)
    assert prefetch_threads() != []
    list(views)
    assert prefetch_threads() == []


def test_closing_cancels_calls_that_have_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    running, may_end = threading.Event(), threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            may_end.set()
            super().shutdown(wait=wait)

    def work(number: int) -> int:
        started.append(number)
        running.set()
        assert may_end.wait(SOON)
        return number

    monkeypatch.setattr("nvs_eval.system.prefetch.ThreadPoolExecutor", Pool)
    with closing(prefetch([[], [partial(work, number) for number in range(100)]])) as results:
        assert next(results) == []
        assert running.wait(SOON)
    assert prefetch_threads() == []
    assert 1 <= len(started) <= 8  # One call per thread.
    assert list(results) == []


def test_an_interruption_while_a_view_is_scored_leaves_no_thread(source: ImageFiles, tmp_path: Path) -> None:
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    seen = []

    def interrupt(view: object) -> None:
        seen.append(view)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(source, source.ids, scorer, Session(tmp_path), on_view=interrupt)
    assert len(seen) == 2
    assert prefetch_threads() == []


def test_an_interruption_while_waiting_leaves_no_thread() -> None:
    results = prefetch([[partial(int, 0)], [partial(fail, KeyboardInterrupt())], [partial(int, 2)]])
    assert next(results) == [0]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert prefetch_threads() == []
