"""Views of several sources whose files are read in the background, also across the sources."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

from nvs_eval.sources.views import FailedView, View
from nvs_eval.system.prefetch import prefetch


class Files(Protocol):
    """Files of views."""

    @property
    def references(self) -> Collection[str]:
        """Names of the views, in their order."""
        ...

    def reads(self, name: str) -> Sequence[Callable[[], Any]]:
        """Return the calls that read the files of a view."""
        ...

    def view(self, name: str, loaded: Sequence[Any]) -> View | FailedView:
        """Build a view from the results of the calls of `reads`."""
        ...


S = TypeVar("S", bound=Files)


def views_of(sources: Iterable[S]) -> Generator[tuple[S, Iterator[View | FailedView]], None, None]:
    """Yield each source that has views, with its views; the files of the next views are read in the background.

    Sources are requested as their views are: the next one while the last views of the one before are used. Views that
    are not used before the next source is requested are skipped.
    """
    opened: deque[S] = deque()

    def work() -> Iterator[Sequence[Callable[[], Any]]]:
        for source in sources:
            if source.references:
                opened.append(source)
            yield from map(source.reads, source.references)

    with closing(prefetch(work())) as loaded:
        for first in loaded:
            source, waiting = opened.popleft(), [first]
            del first  # The images of a view are freed when it has been used.

            def views(source: S = source, waiting: list[list[Any]] = waiting) -> Iterator[View | FailedView]:
                for name in source.references:
                    yield source.view(name, waiting.pop() if waiting else next(loaded))

            rest = views()
            yield source, rest
            deque(rest, maxlen=0)
