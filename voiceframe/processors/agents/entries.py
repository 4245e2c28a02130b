"""What a conversation is made of: turns of the caller, answers of the bot with their tools, and notes of programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ...llm import Message

__all__ = ["HAND_OFF", "Answer", "Called", "Entry", "Note", "Part", "Turn", "View"]

#: The tool by which a specialist gives the caller to another: what it was called with concerns nobody else.
HAND_OFF: Final = "hand_off"


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
    #: The agent that has called it.
    by: str = ""


@dataclass(slots=True, eq=False)
class Note:
    """Something that a program tells an agent: information, said by nobody.

    to: the agent that it is for; "" for all of them. seen: whether a model was asked with it.
    """

    source: str
    text: str
    to: str = ""
    seen: bool = False


@dataclass(slots=True, eq=False)
class Part:
    """A piece of an answer: what was said, then the tools that were called, then what a program told."""

    said: str = ""
    calls: list[Called] = field(default_factory=list)
    note: Note | None = None


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

    @property
    def fresh(self) -> bool:
        """Whether what is said now is the first of its part."""
        return bool(self.parts[-1].calls) or not self.parts[-1].said

    def cut(self, note: Note | None = None) -> int:
        """Somebody else goes on with this answer: how many parts there were before them."""
        self.parts[-1].note = note
        self.parts.append(Part())
        return len(self.parts) - 1

    def pieces(self, heard: bool) -> Iterable[tuple[str, Part]]:
        """What was said in each part, or what of it was heard."""
        at = 0
        for part in self.parts:
            if not heard:
                yield part.said, part
                continue
            end = at + len(part.said) if part is not self.parts[-1] else len(self.heard)
            yield self.heard[at:end], part
            at = end


Entry: TypeAlias = Turn | Answer | Note


@dataclass(slots=True, eq=False)
class View:
    """What one agent sees of the conversation.

    who: the agent; "" for one that is alone. first: entries before this one are not seen, nor the first `parts` of the
    answer `cut`; in their place stand `head` and `summary`.
    """

    who: str = ""
    first: int = 0
    head: tuple[Message, ...] = ()
    summary: str = ""
    cut: Answer | None = None
    parts: int = 0

    def shows(self, note: Note) -> bool:
        """Whether a note is for this agent."""
        return not note.to or not self.who or note.to == self.who

    def owns(self, called: Called) -> bool:
        """Whether this agent has called it."""
        return not self.who or not called.by or called.by == self.who
