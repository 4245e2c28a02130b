"""A conversation in the form from which each vendor's is made.

    messages ──▶ the instructions, and entries: what somebody said, or tools that were called with their results

Vendors differ in what they refuse. What all of them want is done here: each call of a tool has its result right behind
it, ids are unique and of the letters that everybody takes, and nobody says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..llm import Message, ToolCall

__all__ = ["BEGIN", "INAUDIBLE", "SILENCE", "Called", "Conversation", "Said", "arguments_of", "conversation"]

#: What stands for a turn of which no word was understood.
INAUDIBLE: Final = "[inaudible]"
#: What stands for the caller where a vendor wants them to have begun, or to have spoken last.
BEGIN: Final = "[The call begins.]"
SILENCE: Final = "[The caller says nothing.]"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(slots=True, frozen=True)
class Said:
    """Somebody said something, which is never blank."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(slots=True, frozen=True)
class Called:
    """The assistant called tools, after saying `text`, if anything; the results are in the order of the calls."""

    text: str
    calls: tuple[ToolCall, ...]
    results: tuple[Message, ...]


@dataclass(slots=True, frozen=True)
class Conversation:
    """The instructions (all system messages before anybody speaks), and what came then."""

    instructions: str
    entries: tuple[Said | Called, ...]


def conversation(messages: Sequence[Message]) -> Conversation:
    """Raises `ValueError`, which says what is wrong, for messages that are no conversation (see `Message`)."""
    count = 0
    while count < len(messages) and messages[count].role == "system":
        count += 1
    instructions = "\n\n".join(m.text for m in messages[:count] if m.text.strip())
    entries: list[Said | Called] = []
    ids: set[str] = set()
    position = count
    while position < len(messages):
        message = messages[position]
        if message.role == "tool":
            raise ValueError(f"message {position} is the result of {message.call_id!r}, which is not called before it")
        if not message.tool_calls:
            said = _said(message)
            if said is not None:
                entries.append(said)
            position += 1
            continue
        if message.role != "assistant":
            raise ValueError(f"message {position} calls tools, and is of {message.role!r}")
        end = position + 1
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        entries.append(_called(position, message, messages[position + 1 : end], ids))
        position = end
    return Conversation(instructions, tuple(entries))


def _said(message: Message) -> Said | None:
    assert message.role != "tool"
    if message.text.strip():
        return Said(message.role, message.text)
    return Said("user", INAUDIBLE) if message.role == "user" else None


def _called(position: int, message: Message, results: Sequence[Message], ids: set[str]) -> Called:
    found: dict[str, Message] = {}
    called = {call.id for call in message.tool_calls}
    if len(called) < len(message.tool_calls):
        raise ValueError(f"message {position} has two calls of tools with the same id")
    for result in results:
        if result.call_id not in called or result.call_id in found:
            raise ValueError(
                f"behind message {position} there is a result of {result.call_id!r} that it has not called"
            )
        found[result.call_id] = result
    calls: list[ToolCall] = []
    ordered: list[Message] = []
    for call in message.tool_calls:
        if call.id not in found:
            raise ValueError(f"message {position} calls {call.name!r} ({call.id!r}), and there is no result of it")
        id = _unique(call.id, ids)
        calls.append(ToolCall(id, call.name, call.arguments, call.error, call.opaque))
        result = found[call.id]
        ordered.append(Message("tool", result.text, call_id=id, failed=result.failed))
    text = message.text if message.text.strip() else ""
    return Called(text, tuple(calls), tuple(ordered))


def _unique(id: str, ids: set[str]) -> str:
    """The same id if it may stay; else one that is the same each time the conversation is told."""
    if not _ID.fullmatch(id) or id in ids:
        number = len(ids)
        while (id := f"call_{number}") in ids:
            number += 1
    ids.add(id)
    return id


def arguments_of(written: object) -> tuple[dict[str, Any], str]:
    """The arguments of a tool as a model has written them, and what is wrong with them: empty if nothing is."""
    if written is None or (isinstance(written, str) and not written.strip()):
        return {}, ""
    value: object = written
    for _ in range(2):  # some servers wrap the text of an object once more
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                return {}, f"The arguments are no JSON ({error}); write them as one JSON object."
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}, ""
    return {}, f"The arguments are {json.dumps(value)[:80]}; write them as one JSON object."
