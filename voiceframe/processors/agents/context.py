"""The context: the conversation as it was heard, with the tools that were called, as messages for a model.

What every vendor takes is kept whatever happens in the call: a call of a tool is followed by its result at once, also
if that has yet to come, nobody speaks twice in a row, nothing is empty, and a request ends with the caller or with a
result. What is too long loses its oldest turns, and never the last two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...llm import Message, ToolCall, ToolSpec
from ...tools.values import plain

__all__ = ["Answer", "Called", "Conversation", "Turn", "tokens_of"]

RUNNING: Final = "(It is still running; there is no result yet.)"
#: Turns that are kept whatever they cost.
_LAST: Final = 2
#: A result of a tool is not cut below this, in characters.
_SHORTEST: Final = 200
_NOTHING: Final = "(The caller has not said anything yet.)"
_SUMMARY: Final = "(Summary of the conversation until here: {text})"


@dataclass(slots=True, eq=False)
class Called:
    """A call of a tool, and what came of it; `text` is None while it runs."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    text: str | None = None
    failed: bool = False
    #: What the vendor wants back with the call, see `ToolCall`.
    opaque: str = ""


@dataclass(slots=True, eq=False)
class Part:
    """A piece of an answer: what was said, then the tools that were called."""

    said: str = ""
    calls: list[Called] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Turn:
    """A turn of the caller."""

    turn: int
    text: str


@dataclass(slots=True, eq=False)
class Answer:
    """A reply of the bot: what it is made of, and what was heard of it so far."""

    reply: int
    parts: list[Part] = field(default_factory=lambda: [Part()])
    heard: str = ""

    def say(self, text: str, *, meanwhile: bool = False) -> None:
        """More was said: after the calls so far, or `meanwhile`, before their results."""
        if self.parts[-1].calls and not meanwhile:
            self.parts.append(Part())
        self.parts[-1].said += text

    def call(self, called: Sequence[Called]) -> None:
        """Tools were called, together."""
        if self.parts[-1].calls:
            self.parts.append(Part())
        self.parts[-1].calls.extend(called)

    @property
    def said(self) -> str:
        return "".join(part.said for part in self.parts)

    def pieces(self, heard: bool) -> Iterable[tuple[str, list[Called]]]:
        """What was said in each part, or what of it was heard."""
        at = 0
        for part in self.parts:
            if not heard:
                yield part.said, part.calls
                continue
            end = at + len(part.said) if part is not self.parts[-1] else len(self.heard)
            yield self.heard[at:end], part.calls
            at = end


class Conversation:
    """The turns and answers of one call, in order.

    live: whether a reply (by its number) is still being spoken, and not interrupted.
    """

    def __init__(self, live: Callable[[int], bool], *, result_chars: int = 8_000) -> None:
        self._live = live
        self._result_chars = result_chars
        self.entries: list[Turn | Answer] = []
        self._answers: dict[int, Answer] = {}
        self.summary = ""
        self._summarized = 0  # so many entries are in the summary

    # -- what happens

    def turn(self, turn: int, text: str) -> None:
        """The caller has said something."""
        self.entries.append(Turn(turn, text))

    def answer(self, reply: int) -> Answer:
        """The entry of a reply; made where there is none."""
        found = self._answers.get(reply)
        if found is None:
            found = self._answers[reply] = Answer(reply)
            self.entries.append(found)
        return found

    def heard(self, reply: int, text: str) -> None:
        """The caller has heard more of a reply."""
        if text:
            self.answer(reply).heard += text

    def result(self, called: Called, text: str, *, failed: bool = False) -> None:
        """A tool has returned, whenever that is."""
        if len(text) > self._result_chars:
            text = f"{text[: self._result_chars]} (cut: {len(text)} characters)"
        called.text, called.failed = text.strip() or "Done.", failed

    def ids(self) -> set[str]:
        """The ids of all calls of tools."""
        return {called.id for answer in self._answers.values() for part in answer.parts for called in part.calls}

    # -- as messages

    def messages(self) -> tuple[Message, ...]:
        """All of it, as it was heard."""
        return tuple(_messages(self.entries, lambda answer: True))

    def request(
        self, system: str, tools: Sequence[ToolSpec] = (), *, budget: int, extra: str = ""
    ) -> tuple[Message, ...]:
        """What a model is asked: instructions, and as much of the conversation as `budget` tokens hold.

        extra: a turn that is not committed yet.
        """
        entries = self.entries[self._summarized :]
        if extra.strip():
            entries = [*entries, Turn(0, extra)]
        head = [Message("system", system)] if system else []
        summary = [Message("user", _SUMMARY.format(text=self.summary))] if self.summary else []
        room = budget - sum(map(tokens_of, (*head, *summary))) - sum(map(_spec_tokens, tools))
        groups = _groups(entries)
        made = [_messages(group, self._was_heard) for group in groups]
        costs = [sum(map(tokens_of, group)) for group in made]
        first = 0
        while sum(costs[first:]) > room and len(groups) - first > _LAST:
            first += 1
        kept = _caller_last(_merged([*summary, *(message for group in made[first:] for message in group)]))
        if sum(map(tokens_of, kept)) > room:
            kept = _shortened(kept, room)
        return (*head, *kept)

    def _was_heard(self, answer: Answer) -> bool:
        # What others say is known only as it is heard.
        return not answer.said or not self._live(answer.reply)

    # -- summarizing

    def size(self) -> int:
        """What the part that is not summarized costs, in tokens."""
        return sum(map(tokens_of, _messages(self.entries[self._summarized :], self._was_heard)))

    def old(self, keep_turns: int) -> tuple[int, str]:
        """What can be summarized: how many entries are over then, and their text with the summary so far."""
        groups = _groups(self.entries[self._summarized :])
        old = [entry for group in groups[: -max(keep_turns, _LAST)] for entry in group]
        # A tool that still runs belongs to the present, and so does what comes after it.
        for index, entry in enumerate(old):
            if isinstance(entry, Answer) and (
                self._live(entry.reply) or any(called.text is None for part in entry.parts for called in part.calls)
            ):
                old = old[:index]
                break
        lines = [f"Summary so far: {self.summary}"] if self.summary and old else []
        for message in _messages(old, lambda answer: True):
            who = {"user": "Caller", "assistant": "You", "tool": "Result"}[message.role]
            if message.text:
                lines.append(f"{who}: {message.text}")
            lines += [f"You called {call.name} with {json.dumps(dict(call.arguments))}" for call in message.tool_calls]
        return self._summarized + len(old), "\n".join(lines)

    def summarize(self, until: int, summary: str) -> None:
        """The entries before `until` are in this summary."""
        if until > self._summarized:
            self._summarized, self.summary = until, summary


def tokens_of(message: Message) -> int:
    """What a message costs, estimated: four bytes of UTF-8 are a token, and each message has some of its own."""
    total = 4 + _tokens(message.text)
    for call in message.tool_calls:
        total += 8 + _tokens(call.name) + _tokens(json.dumps(dict(call.arguments), ensure_ascii=False, default=str))
    return total


def _tokens(text: str) -> int:
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def _spec_tokens(tool: ToolSpec) -> int:
    return 8 + _tokens(tool.name) + _tokens(tool.description) + _tokens(json.dumps(tool.parameters, default=str))


def _caller_last(messages: list[Message]) -> list[Message]:
    """So that the caller, or a result, has the last word: what was said unasked since their turn stands before it."""
    if messages and (messages[-1].role != "assistant" or messages[-1].tool_calls):
        return messages
    turns = [at for at, message in enumerate(messages) if message.role == "user"]
    if not turns:
        return [*messages, Message("user", _NOTHING)]
    return _merged([*messages[: turns[-1]], messages[-1], *messages[turns[-1] : -1]])


def _groups(entries: Sequence[Turn | Answer]) -> list[list[Turn | Answer]]:
    """Each turn with what belongs to it; before the first turn what was said unasked."""
    groups: list[list[Turn | Answer]] = []
    for entry in entries:
        if isinstance(entry, Turn) or not groups:
            groups.append([])
        groups[-1].append(entry)
    return groups


def _messages(entries: Iterable[Turn | Answer], heard: Callable[[Answer], bool]) -> list[Message]:
    found: list[Message] = []
    for entry in entries:
        if isinstance(entry, Turn):
            found.append(Message("user", entry.text))
            continue
        for text, calls in entry.pieces(heard(entry)):
            if not calls:
                found.append(Message("assistant", text))
                continue
            # An agent of one's own may call with a date, say.
            asked = tuple(ToolCall(c.id, c.name, plain(c.arguments), opaque=c.opaque) for c in calls)
            found.append(Message("assistant", text, asked))
            for called in calls:
                result = RUNNING if called.text is None else called.text
                found.append(Message("tool", result, call_id=called.id, failed=called.failed))
    return _merged(found)


def _merged(messages: Iterable[Message]) -> list[Message]:
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


def _shortened(messages: list[Message], room: int) -> list[Message]:
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
