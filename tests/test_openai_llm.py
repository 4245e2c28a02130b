"""OpenAI and compatible servers, by the official SDK on a local server."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from pydantic import TypeAdapter

from voiceframe.errors import ProviderError
from voiceframe.llm import LLM, LLMRequest, Message, Stop, TextDelta, Usage
from voiceframe.provider import Place
from voiceframe.providers import LLMSettings, OpenAI
from voiceframe.providers.openai_chat import _Calls, body_of, is_strict
from voiceframe.providers.openai_responses import body_of as response_body_of
from voiceframe.testing.conformance_llm import TOOLS, LLMConformance, LLMLive, conversations, heard
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.scripts import Answer, FakeLLM, Thought

SETTINGS = LLMSettings(first_ms=3_000, silence_ms=3_000)
USER = (Message("user", "Hello?"),)


@pytest.mark.real_time
class TestChat(LLMConformance):
    def fake(self, *answers: Answer) -> FakeLLM:
        return FakeOpenAI(answers)

    def model(self, url: str, settings: LLMSettings) -> LLM:
        return OpenAI("gpt-4.1-mini", place=Place(url + "/v1"), api_key="key", settings=settings)


@pytest.mark.real_time
class TestResponses(TestChat):
    def model(self, url: str, settings: LLMSettings) -> LLM:
        return OpenAI("gpt-4.1-mini", api="responses", place=Place(url + "/v1"), api_key="key", settings=settings)


@pytest.mark.real_time
class TestCompatible(LLMConformance):
    counts = False

    @pytest.fixture(autouse=True)
    def _no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def fake(self, *answers: Answer) -> FakeLLM:
        return FakeOpenAI(answers, plain=True)

    def model(self, url: str, settings: LLMSettings) -> LLM:
        return OpenAI("llama3.2", place=Place(url + "/v1"), settings=settings)


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
class TestLive(LLMLive):
    def live_model(self) -> LLM:
        return OpenAI("gpt-4.1-mini")


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
class TestLiveResponses(LLMLive):
    def live_model(self) -> LLM:
        return OpenAI("gpt-4.1-mini", api="responses")


# -- what is sent


@pytest.fixture(scope="module")
def chat_type() -> TypeAdapter[Any]:
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

    return TypeAdapter(CompletionCreateParamsStreaming)


@pytest.fixture(scope="module")
def response_type() -> TypeAdapter[Any]:
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

    return TypeAdapter(ResponseCreateParamsStreaming)


def _whole(adapter: TypeAdapter[Any], body: dict[str, Any]) -> None:
    """The body is of the SDK's type; its iterables are read too."""
    adapter.dump_json(adapter.validate_python(json.loads(json.dumps(body)), strict=False))


@given(conversations())
def test_any_conversation_is_one_for_the_chat_api(chat_type: TypeAdapter[Any], messages: tuple[Message, ...]) -> None:
    request = LLMRequest(messages, TOOLS, tool_choice="find_slots", schema={"type": "object"}, max_tokens=9)
    body = body_of("gpt-4.1", request, is_vendors=True)
    _whole(chat_type, body)
    FakeOpenAI().check_chat(body)


@given(conversations())
def test_any_conversation_is_one_for_the_responses_api(
    response_type: TypeAdapter[Any], messages: tuple[Message, ...]
) -> None:
    request = LLMRequest(messages, TOOLS, tool_choice="required", schema={"type": "object"}, temperature=1)
    body = response_body_of("gpt-4.1", request, is_vendors=True)
    _whole(response_type, body)
    FakeOpenAI().check_response(body)


def test_the_local_server_refuses_what_the_service_refuses() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for messages in (
        [],
        [{"role": "tool", "tool_call_id": "c", "content": ""}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": None, "tool_calls": [call]}],
        [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "user", "content": "a"}],
        [{"role": "assistant", "content": None, "tool_calls": [call | {"id": "c" * 41}]}],
        [{"role": "somebody", "content": "a"}],
    ):
        with pytest.raises(web.HTTPBadRequest):
            FakeOpenAI().check_chat({"model": "m", "messages": messages})
    with pytest.raises(web.HTTPBadRequest):
        FakeOpenAI().check_chat({"model": "m", "messages": [{"role": "user", "content": "a"}], "tool_choice": "auto"})
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    for items in ([], [item], [{"type": "function_call_output", "call_id": "c", "output": ""}]):
        with pytest.raises(web.HTTPBadRequest):
            FakeOpenAI().check_response({"model": "m", "input": items})


def test_requests_of_one_conversation_have_one_key_for_the_cache() -> None:
    system, user = Message("system", "Be brief."), Message("user", "Hello?")

    def key(*messages: Message) -> str:
        return str(body_of("m", LLMRequest(messages), is_vendors=True)["prompt_cache_key"])

    assert key(system, user) == key(system, user, Message("assistant", "Hi."), Message("user", "When?"))
    assert key(system, user) != key(system, Message("user", "Bye."))
    assert "prompt_cache_key" not in body_of("m", LLMRequest((user,)), is_vendors=False)


def test_a_schema_is_strict_when_the_vendor_can_hold_it() -> None:
    inner = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert is_strict({**inner, "properties": {"a": inner}})
    assert not is_strict({**inner, "required": []})
    assert not is_strict({**inner, "properties": {"a": {"anyOf": [inner, {"type": "object"}]}}})
    schema = body_of("m", LLMRequest(USER, schema=inner), is_vendors=True)["response_format"]["json_schema"]
    assert schema["strict"] is True


@pytest.mark.real_time
async def test_headers_query_and_settings_of_the_user_go_with_each_request() -> None:
    async with FakeOpenAI() as fake:
        place = Place(fake.url + "/v1", headers={"X-Team": "a"}, query={"api-version": "7"})
        options = {"top_p": 0.5, "stream_options": None, "mirostat": 2}
        llm = OpenAI("m", place=place, api_key="key", settings=SETTINGS, options=options)
        try:
            await heard(llm, LLMRequest(USER, settings={"top_p": 0.75}))
        finally:
            await llm.aclose()
    asked, body = fake.asked[-1], fake.bodies[-1]
    assert (asked.headers["x-team"], asked.query["api-version"]) == ("a", "7")
    assert (body["top_p"], body["mirostat"], "stream_options" in body) == (0.75, 2, False)


@pytest.mark.real_time
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_refusals_and_answers_that_are_cut_are_told(api: Any) -> None:
    answers: list[Answer] = [
        [TextDelta("I can not."), Stop("refused")],
        [TextDelta("On Thurs"), Stop("length")],
        [Thought(), TextDelta("Yes."), Usage(100, 5, 90), Stop("end")],
    ]
    async with FakeOpenAI(answers) as fake:
        llm = OpenAI("m", api=api, place=Place(fake.url + "/v1"), api_key="key", settings=SETTINGS)
        try:
            assert (await heard(llm, LLMRequest(USER)))[-1] == Stop("refused")
            assert (await heard(llm, LLMRequest(USER)))[-1] == Stop("length")
            assert (await heard(llm, LLMRequest(USER)))[-3:] == [TextDelta("Yes."), Usage(100, 5, 90), Stop("end")]
        finally:
            await llm.aclose()


def test_a_key_is_wanted_by_the_vendor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        OpenAI("gpt-4.1")
    assert not OpenAI("llama3.2", place=Place("http://127.0.0.1:11434/v1")).is_vendors
    with pytest.raises(ProviderError, match="'chat'"):
        OpenAI("gpt-4.1", api="talk", api_key="key")  # type: ignore[arg-type]


# -- what compatible servers send


class _Delta:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def _delta(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None) -> _Delta:
    return _Delta(index=index, id=id, function=_Delta(name=name, arguments=arguments))


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # in pieces, side by side, as OpenAI does
        (
            [
                _delta(0, "a", "f", ""),
                _delta(0, None, None, '{"x"'),
                _delta(1, "b", "g", ""),
                _delta(0, None, None, ":1}"),
            ],
            [("a", "f", {"x": 1}), ("b", "g", {})],
        ),
        # the same index for all
        ([_delta(0, "a", "f", "{}"), _delta(0, "b", "g", "{}")], [("a", "f", {}), ("b", "g", {})]),
        # neither ids nor indices
        (
            [_delta(None, None, "f", '{"x":1}'), _delta(None, "", "f", '{"x":2}')],
            [("", "f", {"x": 1}), ("", "f", {"x": 2})],
        ),
        # an object, and an object in a text in a text
        ([_delta(0, "a", "f", {"x": 1})], [("a", "f", {"x": 1})]),
        ([_delta(0, "a", "f", json.dumps('{"x": 1}'))], [("a", "f", {"x": 1})]),
        # the name once more in each piece
        ([_delta(0, "a", "f", '{"x":'), _delta(0, "a", "f", "1}")], [("a", "f", {"x": 1})]),
    ],
)
def test_calls_of_tools_are_put_together(deltas: list[_Delta], calls: list[tuple[str, str, Any]]) -> None:
    found = _Calls()
    for delta in deltas:
        found.add(delta)
    parts = [call.part() for call in found.all]
    assert [(part.name, dict(part.arguments)) for part in parts] == [(name, arguments) for _, name, arguments in calls]
    assert all(part.id == id if id else part.id for part, (id, _, _) in zip(parts, calls, strict=True))
    assert len({part.id for part in parts}) == len(parts)
