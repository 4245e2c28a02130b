"""pytest-benchmark, as it is used here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["rounds"]

T = TypeVar("T")


def rounds(
    benchmark: Any,
    target: Callable[..., T],
    *,
    count: int,
    warm_up: int = 1,
    setup: Callable[[], Any] | None = None,
) -> T:
    """Time `count` rounds of `target()`. What `setup()` returns before each of them, if anything, is its argument."""

    def arguments() -> tuple[tuple[Any, ...], dict[str, Any]]:
        made = setup() if setup is not None else None
        return (() if made is None else (made,)), {}

    result: T = benchmark.pedantic(target, setup=arguments, rounds=count, warmup_rounds=warm_up)
    return result
