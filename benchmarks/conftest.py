"""`uv run --group bench pytest benchmarks/ --benchmark-only`: files are called `bench_*.py`, so that `pytest` alone
does not run them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # One that is named on the command line pytest collects by itself.
    if file_path.match("bench_*.py") and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop for what is measured."""
    with asyncio.Runner() as runner:
        yield runner
