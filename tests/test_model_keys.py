"""No error, event, log record or repr has an API key in it, also if the vendor repeats it in what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from voiceframe.errors import ProviderError
from voiceframe.frames import ErrorFrame, ReplyEndedFrame, UserTurnFrame
from voiceframe.llm import LLMRequest, Message
from voiceframe.processors import Agent, OpenAIRealtime
from voiceframe.processors.realtime import RealtimeSettings
from voiceframe.provider import Place
from voiceframe.providers import Anthropic, Gemini, LLMSettings, OpenAI, VendorLLM
from voiceframe.testing.conformance_llm import heard
from voiceframe.testing.providers.anthropic import FakeAnthropic
from voiceframe.testing.providers.gemini import FakeGemini
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.openai_realtime import FakeOpenAIRealtime
from voiceframe.testing.providers.scripts import Broken, FakeLLM
from voiceframe.testing.providers.server import Fault
from voiceframe.testing.run import rig

KEY = "sk-proj-0123456789abcdefghij"
SETTINGS = LLMSettings(first_ms=8_000, silence_ms=8_000, retries=0)

Make = tuple[type[FakeLLM], Callable[[str], VendorLLM], str]
MODELS: list[Make] = [
    (FakeAnthropic, lambda u: Anthropic("m", place=Place(u), api_key=KEY, settings=SETTINGS), "overloaded_error"),
    (FakeGemini, lambda u: Gemini("m", place=Place(u), api_key=KEY, settings=SETTINGS), "UNAVAILABLE"),
    (FakeOpenAI, lambda u: OpenAI("m", place=Place(u + "/v1"), api_key=KEY, settings=SETTINGS), "server_error"),
    (
        FakeOpenAI,
        lambda u: OpenAI("m", api="responses", place=Place(u + "/v1"), api_key=KEY, settings=SETTINGS),
        "server_error",
    ),
]
STATUSES = (400, 401, 403, 429, 500)


def _fault(status: int) -> Fault:
    said = f"Incorrect API key provided: {KEY}. See https://vendor.test/?key={KEY}"
    return Fault(status=status, body=json.dumps({"error": {"message": said, "type": "x", "code": status}}))


def _clean(*texts: object) -> None:
    for text in texts:
        assert KEY not in str(text)
        assert KEY[:16] not in str(text)  # nor most of it


@pytest.mark.real_time
@pytest.mark.parametrize(("fake_type", "make", "broken"), MODELS)
async def test_of_models(
    fake_type: type[FakeLLM], make: Callable[[str], VendorLLM], broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.INFO)
    async with fake_type([[Broken(broken, f"the key {KEY} is broken")]], key=KEY) as fake:
        llm = make(fake.url)
        try:
            faults: list[Fault | None] = [*map(_fault, STATUSES), None]
            for fault in faults:
                fake.faults.extend([fault] if fault is not None else [])
                with pytest.raises(ProviderError) as caught:
                    await heard(llm, LLMRequest((Message("user", "Hello."),)))
                _clean(caught.value, repr(caught.value), *traceback.format_exception(caught.value))
                fake.faults.extend([fault] if fault is not None else [])
                await llm.warm()
            asked = len(fake.asked)
            async with rig(Agent("desk", llm=llm)) as running:
                with contextlib.suppress(TimeoutError):  # it warms the model: that must not have a fault of a turn
                    async with asyncio.timeout(3):
                        while len(fake.asked) == asked:  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                for number, status in enumerate(STATUSES, 1):
                    fake.faults.append(_fault(status))
                    running.push(UserTurnFrame(number, "Hello?"))
                    async with asyncio.timeout(5):
                        while sum(isinstance(f, ReplyEndedFrame) for f in running.result.down) < number:  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                assert len(running.events("processor.failed")) == len(STATUSES)
                _clean(running.result.events, running.result.errors)
        finally:
            await llm.aclose()
    _clean(repr(llm), *_logged(caplog))


@pytest.mark.real_time
@pytest.mark.parametrize("status", STATUSES)
async def test_of_a_model_that_speaks(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeOpenAIRealtime([[Broken("server_error", f"the key {KEY} is broken")]], key=KEY) as fake:
        fake.faults.append(_fault(status))
        settings = RealtimeSettings(warm_ms=4_000)
        model = OpenAIRealtime("x", place=Place(fake.url + "/v1"), api_key=KEY, settings=settings)
        async with rig(model) as running:
            async with asyncio.timeout(5):
                while not running.events("provider.lost"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                if status >= 429:  # it connects again, and the answer breaks
                    running.push(UserTurnFrame(1, "Hello?", "text"))
                    while not any(isinstance(frame, ErrorFrame) for frame in running.result.down):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            _clean(running.result.events, running.result.errors)
        _clean(repr(model), repr(model.__dict__.get("place")), *_logged(caplog))
        await asyncio.sleep(0.01)


def _logged(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What is logged, with tracebacks, and without what only the sockets of the local server say of its bytes."""
    form = logging.Formatter()
    return [form.format(record) for record in caplog.records if not record.name.startswith("voiceframe.testing")]


def test_a_place_does_not_show_its_headers() -> None:
    place = Place("https://proxy.test", {"Authorization": f"Bearer {KEY}"}, {"key": KEY})
    _clean(place)
