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
