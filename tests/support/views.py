"""Views of a source that must all be scorable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nvs_eval.sources.views import FailedView, View


def views_of(source: Iterable[View | FailedView]) -> Iterator[View]:
    """Iterate over the views of a source, and fail on one that cannot be scored."""
    for view in source:
        assert isinstance(view, View), f"{view.name}: {view.failed}"
        yield view
