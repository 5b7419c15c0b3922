"""Caching by content."""

from __future__ import annotations

from exprun.common.caching import cached_by_content


def test_equal_contents_are_computed_once_and_results_are_right() -> None:
    calls = []

    @cached_by_content
    def total(values: dict[str, list[int]], *, scale: int = 1) -> int:
        calls.append(values)
        return scale * sum(sum(one) for one in values.values())

    assert [total({"a": [1, 2]}), total({"a": [1, 2]}), total({"a": [1, 3]})] == [3, 3, 4]
    assert total({"a": [1, 2]}, scale=2) == 6
    assert len(calls) == 3
