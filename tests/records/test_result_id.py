"""Names of results."""

from __future__ import annotations

import pytest

from nvs_eval.records.result_id import ResultId, short_names


@pytest.mark.parametrize(
    ("results", "names"),
    [
        ([("a", "r", 3), ("b", "q", 4)], ["a", "b"]),
        ([("a", "r", 3), ("a", "r", 4)], ["a/3", "a/4"]),
        ([("a", "r", 3), ("a", "q", 3), ("b", None, None)], ["a/r", "a/q", "b"]),
        ([("a", "r", 3), ("a", "q", 3), ("a", "q", 4)], ["a/r/3", "a/q/3", "a/q/4"]),
        ([], []),
    ],
)
def test_short_names_have_only_what_differs(
    results: list[tuple[str, str | None, int | None]], names: list[str]
) -> None:
    assert short_names([ResultId("fox", *result) for result in results]) == names


def test_a_name_may_be_that_of_a_result_in_each_scene() -> None:
    assert short_names([ResultId("fox", "a", "r", 3), ResultId("garden", "a", "q", 4)]) == ["a", "a"]
