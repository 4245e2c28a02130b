"""Anthropic, by the official SDK on a local server."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from pydantic import TypeAdapter

from voiceframe.errors import ProviderError
from voiceframe.llm import LLM, LLMRequest, Message, Stop, TextDelta, ToolCall, Usage
from voiceframe.provider import Place
from voiceframe.providers import Anthropic, LLMSettings
from voiceframe.providers.anthropic import body_of
from voiceframe.testing.conformance_llm import TOOLS, LLMConformance, LLMLive, conversations, heard
from voiceframe.testing.providers.anthropic import FakeAnthropic
from voiceframe.testing.providers.scripts import Answer, FakeLLM, Thought

SETTINGS = LLMSettings(first_ms=3_000, silence_ms=3_000)


@pytest.mark.real_time
class TestAnthropic(LLMConformance):
    overloaded = "overloaded_error"

    def fake(self, *answers: Answer) -> FakeLLM:
        return FakeAnthropic(answers)

    def model(self, url: str, settings: LLMSettings) -> LLM:
        return Anthropic("claude-haiku-4-5", place=Place(url), api_key="key", settings=settings)


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.skipif(not os.environ.get("ANTHROPIC_API_KEY"), reason="ANTHROPIC_API_KEY is not set")
class TestLive(LLMLive):
    def live_model(self) -> LLM:
        return Anthropic("claude-haiku-4-5")


@pytest.fixture(scope="module")
def body_type() -> TypeAdapter[Any]:
    from anthropic.types.message_create_params import MessageCreateParamsStreaming

    return TypeAdapter(MessageCreateParamsStreaming)


@given(conversations())
def test_any_conversation_is_one_for_the_vendor(body_type: TypeAdapter[Any], messages: tuple[Message, ...]) -> None:
    for request in (LLMRequest(messages, TOOLS, tool_choice="hang_up"), LLMRequest(messages)):
        body = body_of("claude-haiku-4-5", request, cache=True)
        body_type.dump_json(body_type.validate_python(json.loads(json.dumps(body))))
        FakeAnthropic().check(body)


def test_the_local_server_refuses_what_the_service_refuses() -> None:
    user = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "c", "content": ""}
    text = {"type": "text", "text": "a"}
    for messages in (
        [],
        [use, user],
        [user, {"role": "assistant", "content": [text]}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"type": "text", "text": " "}]}],
        [user, use, user],
        [user, {"role": "user", "content": [result]}],
        [user, use, {"role": "user", "content": [text, result]}],
        [user, use, {"role": "user", "content": [result, result]}],
    ):
        with pytest.raises(web.HTTPBadRequest):
            FakeAnthropic().check({"model": "m", "max_tokens": 9, "messages": messages, "tools": [{"name": "f"}]})
    with pytest.raises(web.HTTPBadRequest):
        FakeAnthropic().check({"model": "m", "messages": [user]})
    FakeAnthropic().check({"model": "m", "max_tokens": 9, "messages": [user]})


def test_instructions_and_what_was_said_are_kept_for_the_next_turn() -> None:
    messages = (Message("system", "Be brief."), Message("user", "Hello?"))
    body = body_of("m", LLMRequest(messages, TOOLS), cache=True)
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in json.dumps(body_of("m", LLMRequest(messages, TOOLS), cache=False))
    only_tools = body_of("m", LLMRequest(messages[1:], TOOLS), cache=True)
    assert "cache_control" in only_tools["tools"][-1]


def test_tools_of_the_conversation_are_known_when_none_may_be_called() -> None:
    call = ToolCall("c", "book", {})
    messages = (Message("user", "Book!"), Message("assistant", "", (call,)), Message("tool", "done", call_id="c"))
    body = body_of("m", LLMRequest(messages), cache=True)
    assert [tool["name"] for tool in body["tools"]] == ["book"]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.real_time
async def test_thoughts_go_back_with_the_call_that_they_led_to() -> None:
    answers: list[Answer] = [
        [Thought("I look.", "c2ln"), ToolCall("c", "find_slots", {"day": "Thursday"})],
        [TextDelta("At ten."), Usage(100, 5, 60, 30), Stop("end")],
    ]
    async with FakeAnthropic(answers) as fake:
        llm = Anthropic("m", place=Place(fake.url), api_key="key", settings=SETTINGS)
        try:
            asked = (Message("user", "When?"),)
            call = next(part for part in await heard(llm, LLMRequest(asked, TOOLS)) if isinstance(part, ToolCall))
            messages = (*asked, Message("assistant", "", (call,)), Message("tool", "10:00", call_id="c"))
            parts = await heard(llm, LLMRequest(messages, TOOLS))
        finally:
            await llm.aclose()
    thought = {"type": "thinking", "thinking": "I look.", "signature": "c2ln"}
    assert fake.bodies[-1]["messages"][1]["content"][0] == thought
    assert parts[-2:] == [Usage(100, 5, 60, 30), Stop("end")]


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("reason", "expected"), [("refused", Stop("refused")), ("length", Stop("length")), ("end", Stop("end"))]
)
async def test_why_it_stopped(reason: Any, expected: Stop) -> None:
    async with FakeAnthropic([[TextDelta("No."), Stop(reason)]]) as fake:
        llm = Anthropic("m", place=Place(fake.url), api_key="key", settings=SETTINGS)
        try:
            assert (await heard(llm, LLMRequest((Message("user", "a"),))))[-1] == expected
        finally:
            await llm.aclose()


def test_without_a_key_it_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    with pytest.raises(ProviderError, match="ANTHROPIC_API_KEY"):
        Anthropic("claude-haiku-4-5")
