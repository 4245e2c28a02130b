"""The entries of a conversation as messages for a model, such as every vendor takes.

A call of a tool is followed by its result at once, also if that has yet to come, nobody speaks twice in a row, nothing
is empty, and a request ends with the caller or with a result. What another agent has called is told as a note: whoever
reads it may not have that tool, and may be of another vendor.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ...llm import Message, ToolCall, ToolSpec
from ...tools.values import plain
from .entries import HAND_OFF, Answer, Called, Entry, Note, Part, Turn, View

__all__ = [
    "caller_last",
    "groups_of",
    "mended",
    "merged",
    "messages_of",
    "note_text",
    "only_note",
    "shortened",
    "tokens_of",
    "tokens_of_spec",
]

RUNNING: Final = "(It is still running; there is no result yet.)"
#: A result of a tool is not cut below this, in characters.
_SHORTEST: Final = 200
_NOTHING: Final = "(The caller has not said anything yet.)"
_TAG: Final = re.compile(r"<(?=\s*/?\s*note\b)", re.IGNORECASE)


def messages_of(entries: Iterable[Entry], heard: Callable[[Answer], bool], view: View) -> list[Message]:
    """The messages, merged. heard: whether of an answer what was heard counts, or what was made."""
    found: list[Message] = []
    for entry in entries:
        if isinstance(entry, Turn):
            # A caller cannot say what looks like a note of the program.
            found.append(Message("user", _TAG.sub("‹", entry.text)))
        elif isinstance(entry, Note):
            if view.shows(entry):
                found.append(Message("user", note_text(entry.source, entry.text)))
        else:
            unseen = view.parts if entry is view.cut else 0
            for text, part in itertools.islice(entry.pieces(heard(entry)), unseen, None):
                found += _piece(text, part, view)
    return merged(found)


def _piece(text: str, part: Part, view: View) -> Iterable[Message]:
    own = [called for called in part.calls if view.owns(called)]
    # An agent of one's own may call with a date, say.
    asked = tuple(ToolCall(c.id, c.name, plain(c.arguments), opaque=c.opaque) for c in own)
    yield Message("assistant", text, asked)
    for called in own:
        result = RUNNING if called.text is None else called.text
        yield Message("tool", result, call_id=called.id, failed=called.failed)
    for called in part.calls:
        if not view.owns(called) and called.name != HAND_OFF:
            yield Message("user", note_text(called.by, _told(called)))
    if part.note is not None and view.shows(part.note):
        yield Message("user", note_text(part.note.source, part.note.text))


def _told(called: Called) -> str:
    arguments = json.dumps(plain(called.arguments), ensure_ascii=False)
    result = RUNNING if called.text is None else called.text
    return f"The tool {called.name} was called with {arguments}. {'It failed' if called.failed else 'Result'}: {result}"


def only_note(message: Message) -> bool:
    """Whether it is from programs alone: a caller has no way to begin like one."""
    return message.role == "user" and message.text.startswith("<note ")


def note_text(source: str, text: str) -> str:
    """A note as a model reads it. Nothing in it can end it, or pass for another one."""
    source, text = (_TAG.sub("‹", part.strip()) for part in (source.replace('"', "'"), text))
    return f'<note from="{" ".join(source.split())}">Information, not said by the caller: {text}</note>'


def merged(messages: Iterable[Message]) -> list[Message]:
    """Without empty messages, and nobody twice in a row."""
    found: list[Message] = []
    for message in messages:
        text = message.text.strip()
        if not text and not message.tool_calls:
            continue
        message = replace(message, text=text)
        last = found[-1] if found else None
        if last is not None and last.role == message.role != "tool" and not last.tool_calls:
            between = "\n" if message.role == "user" else " "
            joined = between.join(part for part in (last.text, text) if part)
            found[-1] = replace(message, text=joined)
        else:
            found.append(message)
    return found


def mended(messages: Iterable[Message]) -> list[Message]:
    """Messages that somebody has chosen, so that every vendor takes them: no call without its result, no result without
    its call, none twice, each result behind its call."""
    given = list(messages)
    results = {message.call_id: message for message in given if message.role == "tool"}
    found: list[Message] = []
    taken: set[str] = set()
    for message in given:
        if message.role == "tool":
            continue
        calls = []
        for call in message.tool_calls:
            if call.id in results and call.id not in taken and message.role == "assistant":
                taken.add(call.id)
                calls.append(call)
        found.append(replace(message, tool_calls=tuple(calls)))
        found += [replace(results[call.id], text=results[call.id].text.strip() or "Done.") for call in calls]
    return merged(found)


def tokens_of(message: Message) -> int:
    """What a message costs, estimated: four bytes of UTF-8 are a token, and each message has some of its own."""
    total = 4 + _tokens(message.text)
    for call in message.tool_calls:
        total += 8 + _tokens(call.name) + _tokens(json.dumps(dict(call.arguments), ensure_ascii=False, default=str))
    return total


def _tokens(text: str) -> int:
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def tokens_of_spec(tool: ToolSpec) -> int:
    return 8 + _tokens(tool.name) + _tokens(tool.description) + _tokens(json.dumps(tool.parameters, default=str))


def caller_last(messages: list[Message]) -> list[Message]:
    """So that the caller, or a result, has the last word: what was said unasked since their turn stands before it."""
    if messages and (messages[-1].role != "assistant" or messages[-1].tool_calls):
        return messages
    turns = [at for at, message in enumerate(messages) if message.role == "user"]
    if not turns:
        return [*messages, Message("user", _NOTHING)]
    return merged([*messages[: turns[-1]], messages[-1], *messages[turns[-1] : -1]])


def groups_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Each turn with what belongs to it; before the first turn what was said unasked."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if isinstance(entry, Turn) or not groups:
            groups.append([])
        groups[-1].append(entry)
    return groups


def shortened(messages: list[Message], room: int) -> list[Message]:
    """With the longest results of tools cut until it fits, or nothing is left to cut."""
    found = list(messages)
    while sum(map(tokens_of, found)) > room:
        results = [at for at, message in enumerate(found) if message.role == "tool" and len(message.text) > _SHORTEST]
        if not results:
            break
        longest = max(results, key=lambda at: len(found[at].text))
        text = found[longest].text
        found[longest] = replace(found[longest], text=text[: max(_SHORTEST - 10, len(text) // 2)] + " (cut)")
    return found
