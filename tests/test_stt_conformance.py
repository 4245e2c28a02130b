"""Each vendor by its SDK, on the local server of that vendor: whatever breaks, no word is lost or comes twice."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceframe.processors.stt import (
    CartesiaSTT,
    CartesiaTurnsSTT,
    CloudSTT,
    DeepgramFluxSettings,
    DeepgramFluxSTT,
    DeepgramSTT,
    ElevenLabsSTT,
    OpenAISTT,
    STTSettings,
)
from voiceframe.processors.stt.history import History
from voiceframe.provider import Place
from voiceframe.testing.conformance_stt import Made, check_stt, listen
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.hearing import FakeRecognizer
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT

ROOT = Path(__file__).resolve().parent.parent


def of(cls: Callable[..., CloudSTT], *arguments: object) -> Made:
    def make(place: Place, key: str, settings: STTSettings) -> CloudSTT:
        return cls(*arguments, stt=settings, place=place, api_key=key)

    return make


VENDORS: dict[str, tuple[Made, Callable[[], FakeRecognizer]]] = {
    "deepgram": (of(DeepgramSTT), FakeDeepgramSTT),
    "deepgram-flux": (of(DeepgramFluxSTT), FakeDeepgramSTT),
    "deepgram-flux-vad": (of(DeepgramFluxSTT, DeepgramFluxSettings(turns="vad")), FakeDeepgramSTT),
    "openai": (of(OpenAISTT), FakeOpenAISTT),
    "elevenlabs": (of(ElevenLabsSTT), FakeElevenLabsSTT),
    "cartesia": (of(CartesiaSTT), FakeCartesiaSTT),
    "cartesia-turns": (of(CartesiaTurnsSTT), FakeCartesiaSTT),
}
#: These take their time: the long run cuts them at every boundary.
LONG = {"deepgram-flux", "deepgram-flux-vad", "cartesia-turns"}


@pytest.mark.real_time
@pytest.mark.parametrize("vendor", [name for name in VENDORS if name not in LONG])
async def test_a_vendor_conforms(vendor: str) -> None:
    make, fake = VENDORS[vendor]
    (await check_stt(make, fake, every=15, at_once=24)).assert_passed()


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_conforms_at_every_boundary(vendor: str) -> None:
    make, fake = VENDORS[vendor]
    (await check_stt(make, fake)).assert_passed()


@pytest.mark.real_time
async def test_one_that_says_words_twice_does_not_conform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "cover", lambda *_, **__: None)
    found = await check_stt(of(DeepgramSTT), FakeDeepgramSTT, every=9)
    with pytest.raises(AssertionError, match=r"cut after 18: heard .'one two three one two three four'"):
        found.assert_passed()


LIVE = {
    "deepgram": ("DEEPGRAM_API_KEY", DeepgramSTT),
    "deepgram-flux": ("DEEPGRAM_API_KEY", DeepgramFluxSTT),
    "openai": ("OPENAI_API_KEY", OpenAISTT),
    "elevenlabs": ("ELEVENLABS_API_KEY", ElevenLabsSTT),
    "cartesia": ("CARTESIA_API_KEY", CartesiaSTT),
    "cartesia-turns": ("CARTESIA_API_KEY", CartesiaTurnsSTT),
}


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.parametrize("vendor", LIVE)
async def test_the_real_service_understands_a_sentence(vendor: str) -> None:
    variable, cls = LIVE[vendor]
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    heard = await listen(cls(), "I would like an appointment on Thursday at ten.")
    assert {"appointment", "thursday"} <= {word.strip(".,").lower() for word in heard.split()}


@pytest.mark.parametrize("vendor", ["deepgram", "openai", "elevenlabs", "cartesia"])
def test_nothing_is_imported_or_read_from_disk_once_it_is_loaded(vendor: str) -> None:
    code = textwrap.dedent(
        f"""
        import sys, warnings
        from tests.test_stt_conformance import VENDORS
        from voiceframe.processors.stt import STTSettings
        from voiceframe.provider import Place
        from voiceframe.tls import tls
        stt = VENDORS[{vendor!r}][0](Place("http://127.0.0.1:9"), "key", STTSettings())
        stt.load()
        assert tls.cache_info().currsize
        before = set(sys.modules)
        import asyncio
        try:
            asyncio.run(stt.open(stt.accepts[0], "en"))
        except OSError:
            pass
        new = {{name for name in set(sys.modules) - before if name.split(".")[0] in
               ("openai", "cartesia", "deepgram", "elevenlabs", "websockets", "httpx", "httpx2")}}
        assert tls.cache_info().misses == 1
        assert not new - {{"websockets.proxy", "openai.lib._websocket"}}, sorted(new)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
