"""Calls whose providers fail at random: none is lost or silent, nothing is said twice, and nothing is left.

A short run of `benchmarks/provider_faults.py`, which says what must hold: real SDKs over real sockets, at the fakes.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if any(find_spec(name) is None for name in ("aiohttp", "anthropic", "cartesia", "deepgram", "elevenlabs", "openai")):
    pytest.skip("needs voiceframe[providers]", allow_module_level=True)

from benchmarks._providers_calls import Models, one_call  # noqa: E402
from benchmarks.provider_faults import Tally, report, run  # noqa: E402
from voiceframe.testing.providers import Fault  # noqa: E402
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS  # noqa: E402

# websockets.legacy, which deepgram-sdk imports, is deprecated.
pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_no_call_is_lost_or_silent_whatever_its_providers_do() -> None:
    tally = run(calls=24, seed=1_000, at_once=12)
    told = report(tally, 0)
    assert tally.passed, told
    assert tally.calls == 24, told
    assert {name.split()[0] for name in tally.faults} == {"stt", "llm", "tts"}, told
    assert sum(tally.lost.values()) > 10, told
    assert tally.understood > 0.9 * tally.said, told


def _down() -> FakeCartesiaTTS:
    fake = FakeCartesiaTTS()
    fake.faults.extend([Fault(status=503)] * 1_000)
    return fake


async def test_a_call_in_which_the_bot_is_not_heard_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks can fail."""
    monkeypatch.setattr("benchmarks._providers_calls.SILENT_MS", 1_500)
    monkeypatch.setattr("benchmarks._providers_calls.FAKE_TTS", {"cartesia": _down})
    async with Models(0) as models:
        found = await one_call(5, models, ("deepgram", "openai", "cartesia"))
    assert "the greeting was not heard" in found.wrong
    assert any("nothing was" in wrong for wrong in found.wrong), found.wrong
    tally = Tally()
    tally.add(found)
    assert not tally.passed
