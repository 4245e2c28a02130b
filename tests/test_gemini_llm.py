"""Gemini, by the official SDK on a local server."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given

from voiceframe.errors import ProviderError
from voiceframe.llm import LLM, LLMRequest, Message, Stop, TextDelta, ToolCall
from voiceframe.provider import Place
from voiceframe.providers import Gemini, LLMSettings
from voiceframe.providers.conversation import conversation
from voiceframe.providers.gemini import contents_of, settings_of
from voiceframe.testing.conformance_llm import CONVERSATION, TOOLS, LLMConformance, LLMLive, conversations, heard
from voiceframe.testing.providers.gemini import FakeGemini
from voiceframe.testing.providers.scripts import Answer, Broken, FakeLLM, Thought

SETTINGS = LLMSettings(first_ms=3_000, silence_ms=3_000)
USER = (Message("user", "Hello?"),)


@pytest.mark.real_time
class TestGemini(LLMConformance):
    overloaded = "UNAVAILABLE"

    def fake(self, *answers: Answer) -> FakeLLM:
        return FakeGemini(answers)

    def model(self, url: str, settings: LLMSettings) -> LLM:
        return Gemini("gemini-3-flash", place=Place(url), api_key="key", settings=settings)


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.skipif(not os.environ.get("GEMINI_API_KEY"), reason="GEMINI_API_KEY is not set")
class TestLive(LLMLive):
    def live_model(self) -> LLM:
        return Gemini("gemini-2.5-flash")


@given(conversations())
def test_any_conversation_is_one_for_the_vendor(messages: tuple[Message, ...]) -> None:
    from google.genai import types

    told = conversation(messages)
    contents = contents_of(told, signed=True)
    made = [types.Content.model_validate(content) for content in contents]
    config = settings_of(types, told, LLMRequest(messages, TOOLS, tool_choice="hang_up"), {"top_k": 3})
    assert config.tool_config.function_calling_config.allowed_function_names == ["hang_up"]
    sent = [content.model_dump(by_alias=True, exclude_none=True, mode="json") for content in made]
    FakeGemini().check({"contents": sent}, signed=True)


def test_the_local_server_refuses_what_the_service_refuses() -> None:
    user = {"role": "user", "parts": [{"text": "a"}]}
    model = {"role": "model", "parts": [{"text": "a"}]}
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    answer = {"functionResponse": {"name": "f", "response": {}}}
    for contents in (
        [],
        [model, user],
        [user, model],
        [{"role": "user", "parts": [{"text": ""}]}],
        [{"role": "user", "parts": []}],
        [user, model, call, {"role": "user", "parts": [answer]}],
        [user, call, user],
        [user, call, {"role": "user", "parts": [answer, answer]}],
        [user, call, {"role": "user", "parts": [answer, {"text": "a"}]}],
        [user, call],
    ):
        with pytest.raises(web.HTTPBadRequest):
            FakeGemini().check({"contents": contents}, signed=False)
    whole = [user, call, {"role": "user", "parts": [answer]}]
    FakeGemini().check({"contents": whole}, signed=False)
    with pytest.raises(web.HTTPBadRequest, match="Bad Request"):
        FakeGemini().check({"contents": whole}, signed=True)


@pytest.mark.real_time
async def test_signatures_of_thoughts_go_back_and_are_made_up_for_calls_of_others() -> None:
    signature = base64.b64encode(b"signed").decode()
    answers: list[Answer] = [[Thought("Hm.", signature), ToolCall("", "find_slots", {"day": "Thursday"})], "At ten."]
    async with FakeGemini(answers) as fake:
        llm = Gemini("gemini-3-flash", place=Place(fake.url), api_key="key", settings=SETTINGS)
        try:
            call = next(part for part in await heard(llm, LLMRequest(USER, TOOLS)) if isinstance(part, ToolCall))
            assert call.id  # the vendor gave none
            messages = (*USER, Message("assistant", "", (call,)), Message("tool", "10:00", call_id=call.id))
            await heard(llm, LLMRequest(messages, TOOLS))
            await heard(llm, LLMRequest(CONVERSATION, TOOLS))
        finally:
            await llm.aclose()

    def signatures(body: dict[str, Any]) -> list[bytes]:
        parts = [part for content in body["contents"] for part in content["parts"] if "thoughtSignature" in part]
        return [base64.urlsafe_b64decode(part["thoughtSignature"] + "==") for part in parts]

    assert signatures(fake.bodies[1]) == [b"signed"]
    assert signatures(fake.bodies[2]) == [b"skip_thought_signature_validator"] * 2


@pytest.mark.real_time
async def test_a_call_that_the_model_has_botched_is_asked_for_again() -> None:
    async with FakeGemini([[Broken("MALFORMED_FUNCTION_CALL")], "Sorry."]) as fake:
        llm = Gemini("gemini-2.5-flash", place=Place(fake.url), api_key="key", settings=SETTINGS)
        try:
            assert (await heard(llm, LLMRequest(USER)))[0] == TextDelta("Sorry.")
            fake.answers = [[TextDelta("No."), Stop("refused")]]
            assert (await heard(llm, LLMRequest(USER)))[-1] == Stop("refused")
            fake.answers = [[TextDelta("Because"), Stop("length")]]
            assert (await heard(llm, LLMRequest(USER)))[-1] == Stop("length")
        finally:
            await llm.aclose()


@pytest.mark.real_time
async def test_headers_query_and_settings_of_the_user_go_with_each_request() -> None:
    async with FakeGemini() as fake:
        place = Place(fake.url, headers={"X-Team": "a"}, query={"tag": "7"})
        llm = Gemini("gemini-2.5-flash", place=place, api_key="key", settings=SETTINGS, options={"top_p": 0.5})
        try:
            await heard(llm, LLMRequest(USER))
            assert (fake.asked[-1].headers["x-team"], fake.asked[-1].query["tag"]) == ("a", "7")
            assert fake.bodies[-1]["generationConfig"]["topP"] == 0.5
            with pytest.raises(ProviderError, match="GenerateContentConfig") as caught:
                await heard(llm, LLMRequest(USER, settings={"mirostat": 2}))
            assert caught.value.code == "provider.request"
        finally:
            await llm.aclose()


def test_without_a_key_it_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_GEMINI_BASE_URL", raising=False)
    with pytest.raises(ProviderError, match="GEMINI_API_KEY"):
        Gemini("gemini-2.5-flash")
