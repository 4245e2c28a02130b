"""Conversations in the form for vendors, arguments of tools, and models by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.errors import ProviderError
from voiceframe.llm import Message, ToolCall
from voiceframe.provider import Place
from voiceframe.providers import Anthropic, Gemini, OpenAI, llm
from voiceframe.providers.conversation import INAUDIBLE, Called, Said, arguments_of, conversation
from voiceframe.testing.conformance_llm import CONVERSATION, conversations


@given(conversations())
def test_a_conversation_keeps_who_said_what_and_in_which_order(messages: tuple[Message, ...]) -> None:
    told = conversation(messages)
    texts = [m.text for m in messages if m.role != "tool" and m.text.strip()]
    kept = [told.instructions] if told.instructions else []
    kept += [e.text if e.text != INAUDIBLE else "" for e in told.entries]
    assert "".join(kept).replace("\n", "") == "".join(texts).replace("\n", "").replace(INAUDIBLE, "")
    calls = [call for message in messages for call in message.tool_calls]
    entries = [entry for entry in told.entries if isinstance(entry, Called)]
    assert [(c.name, c.arguments) for e in entries for c in e.calls] == [(c.name, c.arguments) for c in calls]
    ids = [call.id for entry in entries for call in entry.calls]
    assert len(set(ids)) == len(ids)
    assert all([c.id for c in entry.calls] == [r.call_id for r in entry.results] for entry in entries)


@given(conversations(), st.integers(0, 20))
def test_the_beginning_of_a_conversation_stays_as_it_was(messages: tuple[Message, ...], cut: int) -> None:
    """Or no vendor could cache it."""
    part = messages[:cut]
    try:
        before = conversation(part)
    except ValueError:
        return
    after = conversation(messages)
    if len(before.entries) or len(part) == len(messages):
        assert after.entries[: len(before.entries)] == before.entries


def test_results_stand_in_the_order_of_their_calls() -> None:
    told = conversation(CONVERSATION)
    assert told.instructions == "You book appointments."
    called = next(entry for entry in told.entries if isinstance(entry, Called))
    assert [result.text for result in called.results] == ["closed", "nothing"]
    assert [result.failed for result in called.results] == [True, False]
    assert Said("user", INAUDIBLE) in told.entries


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_arguments_are_read_however_they_are_wrapped(arguments: dict[str, Any]) -> None:
    text = json.dumps(arguments)
    for written in (arguments, text, json.dumps(text)):
        assert arguments_of(written) == (arguments, "")


@given(st.text() | st.lists(st.integers()) | st.integers() | st.booleans())
def test_what_is_no_object_is_an_error_for_the_model(written: object) -> None:
    found, error = arguments_of(written)
    if isinstance(written, str):
        try:
            value = json.loads(written) if written.strip() else {}
            value = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            value = None
    else:
        value = written
    assert bool(error) == (not isinstance(value, dict))
    assert isinstance(found, dict)


def test_a_call_keeps_what_it_was_given_before() -> None:
    assert ToolCall("a", "f", {}) == ToolCall("a", "f", {}, "", "")


def test_a_model_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "key")
    assert isinstance(llm("openai/gpt-4.1"), OpenAI)
    assert isinstance(llm("anthropic", "claude-haiku-4-5"), Anthropic)
    assert isinstance(llm("google/gemini-2.5-flash"), Gemini)
    local = llm("openai/org/model", place=Place("http://127.0.0.1:1/v1"), api_key="")
    assert (local.model, local.vendor, local.is_vendors) == ("org/model", "openai", False)
    monkeypatch.setenv("VOICEFRAME_LLM_MODEL", "anthropic/claude-haiku-4-5")
    assert llm().name == "anthropic/claude-haiku-4-5"
    with pytest.raises(ProviderError, match="openai") as caught:
        llm("opnai/gpt-4.1")
    assert caught.value.code == "provider.unknown"
    with pytest.raises(ProviderError, match="openai/"):
        llm("openai")


def test_the_names_of_the_package() -> None:
    import voiceframe.providers as providers

    assert set(providers.__all__) <= set(dir(providers))
    with pytest.raises(AttributeError):
        _ = providers.Nobody
