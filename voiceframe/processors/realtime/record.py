"""The conversation as it was heard, for a connection that is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...llm import Message, ToolCall

__all__ = ["Record"]

#: How many entries are told again at most; a model has forgotten what is older.
_MOST = 200


class Record:
    """What was said, in order; a turn has its place from the moment it is taken, and its words when they are known."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Message]] = {}
        self._calls: dict[str, ToolCall] = {}
        self._number = 0

    def _place(self, key: str) -> str:
        if not key:
            self._number += 1
            key = f"#{self._number}"
        self._entries.setdefault(key, [])
        while len(self._entries) > _MOST:
            del self._entries[next(iter(self._entries))]
        return key

    def turn(self, key: str) -> None:
        """A turn of the caller has been taken; its words are not known yet."""
        self._place(key)

    def said(self, key: str, text: str) -> None:
        """The words of a turn."""
        self._place(key)
        self._entries[key] = [Message("user", text)] if text.strip() else []

    def heard(self, reply: int, text: str) -> None:
        """The caller has heard this, more of a reply."""
        key = self._place(f"reply {reply}")
        before = self._entries[key][0].text if self._entries[key] else ""
        self._entries[key] = [Message("assistant", before + text)]

    def told(self, text: str, role: Any) -> None:
        """A message from the side."""
        self._entries[self._place("")] = [Message(role, text)]

    def called(self, id: str, name: str, arguments: Mapping[str, Any]) -> None:
        """A tool is called; until it has returned nobody is told of it."""
        self._place(f"tool {id}")
        self._calls[id] = ToolCall(id, name, dict(arguments))

    def returned(self, id: str, text: str, *, failed: bool) -> tuple[Message, ...]:
        """A tool has returned. Gives the call and its result."""
        messages: list[Message] = []
        call = self._calls.pop(id, None)
        if call is not None:
            messages = [Message("assistant", "", (call,)), Message("tool", text, call_id=id, failed=failed)]
            self._entries[self._place(f"tool {id}")] = messages
        return tuple(messages)

    def messages(self) -> tuple[Message, ...]:
        """All of it that is known."""
        return self.around("")[0]

    def around(self, key: str) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """What was before a turn, and what came behind it; without such a turn all of it was before."""
        before: list[Message] = []
        after: list[Message] = []
        place = before
        for name, entry in self._entries.items():
            if name == key:
                place = after
            else:
                place += entry
        return tuple(before), tuple(after)
