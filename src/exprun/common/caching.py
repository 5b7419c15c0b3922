"""Caches of functions whose arguments cannot be hashed."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def cached_by_content(function: Callable[P, R]) -> Callable[P, R]:
    """Cache the last 1024 results of a function of plain data by the content of its arguments."""

    @functools.lru_cache(maxsize=1024)
    def cached(pickled: bytes) -> R:
        arguments, keywords = pickle.loads(pickled)
        return function(*arguments, **keywords)

    @functools.wraps(function)
    def wrapped(*arguments: P.args, **keywords: P.kwargs) -> R:
        return cached(pickle.dumps((arguments, keywords)))

    return wrapped
