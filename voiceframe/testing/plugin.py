"""A pytest plugin: `async def` tests run on virtual time, and each test answers for what it leaves behind.

Switch it on in `conftest.py`:

    pytest_plugins = ["voiceframe.testing.plugin"]

A test marked `@pytest.mark.real_time` runs on a real event loop, for sockets and threads.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ..clock import VirtualTimeLoop
from ..errors import TestKitError
from .leaks import leftovers

__all__ = ["pytest_configure", "pytest_pyfunc_call"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: run this async test on a real event loop")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test. Other tests are none of our business."""
    test = pyfuncitem.obj
    inner = getattr(getattr(test, "hypothesis", None), "inner_test", None)
    if inner is not None and inspect.iscoroutinefunction(inner):
        # Hypothesis calls the inner test for each example.
        real = pyfuncitem.get_closest_marker("real_time") is not None
        test.hypothesis.inner_test = _on_loop(inner, real)
        return None
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    _on_loop(test, pyfuncitem.get_closest_marker("real_time") is not None)(**arguments)
    return True


def _on_loop(test: Callable[..., Coroutine[Any, Any, None]], real: bool) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=None if real else VirtualTimeLoop, debug=False) as runner:
            runner.run(_checked(test(*args, **kwargs)))

    return call


async def _checked(test: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    await test
    await asyncio.sleep(0)  # what is being cancelled may finish
    found = leftovers(loop)
    if found:
        raise TestKitError.of("test.leak", what="; ".join(found))
