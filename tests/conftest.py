"""All tests: async ones run on virtual time, and each answers for what it leaves behind."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["voiceframe.testing.plugin", "pytester"]

# Time on a shared machine says nothing about a property.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="asyncio")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in real time run one after the other in one process, beside the others: they wait more than they work."""
    for item in items:
        if item.get_closest_marker("real_time"):
            item.add_marker(pytest.mark.xdist_group("real time"))
