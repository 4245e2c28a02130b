"""What all nodes of a declared dialog have: a name, a sentence, a place, and the settings of a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypedDict, Unpack

from .places import Place, here

__all__ = ["Asking", "AskingOptions", "Node", "SpeakingOptions", "variable_of"]


class SpeakingOptions(TypedDict, total=False):
    """Settings of a node that says something.

    voice: of the TTS that stands behind the flow; by default that one's own.
    language: of that TTS and of the STT before the flow, as they take it ("en-US"); by default their own.
    interruptible: whether the caller may speak over what it says.
    """

    voice: str
    language: str
    interruptible: bool


class AskingOptions(SpeakingOptions, total=False):
    """Settings of a node that waits for the caller.

    attempts: times in a row that one question may fail; by default `FlowSettings.attempts`.
    give_up: the node that follows then; by default the person, or the `give_up=` of the flow.
    silence_ms: silence after what was said that counts as no answer; by default only turn taking tells of silence.
    limit_ms: how long the node may last, however often the caller is understood.
    limit_to: the node that follows then; by default as when the attempts are used up.
    key_count: how many keys make an answer, where the slot does not say it.
    key_end: the key that ends an answer by keys.
    key_pause_ms: pause after a key that ends an answer by keys; by default that of turn taking or of `FlowSettings`.
    """

    attempts: int
    give_up: str
    silence_ms: int
    limit_ms: int
    limit_to: str
    key_count: int
    key_end: Literal["#", "*"]
    key_pause_ms: int


class Node:
    """The base of all nodes."""

    def __init__(
        self,
        name: str,
        prompt: str = "",
        *,
        voice: str | None = None,
        language: str | None = None,
        interruptible: bool = True,
    ) -> None:
        self.name = name
        self.prompt = prompt
        self.voice = voice
        self.language = language
        self.interruptible = interruptible
        self.place = here()
        #: Where the fields of a node of a file are.
        self.places: Mapping[str, Place] = {}

    def place_of(self, *fields: str) -> Place:
        """Where the first of these fields stands that has a place of its own, else where the node does."""
        return next((self.places[field] for field in fields if field in self.places), self.place)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def variable_of(name: str) -> str:
    """The name of a node as a variable: "leave a message" is `leave_a_message`."""
    made = re.sub(r"\W", "_", name)
    return made if made.isidentifier() else f"_{made}"


class Asking(Node):
    """The base of the nodes that wait for the caller."""

    def __init__(
        self,
        name: str,
        prompt: str = "",
        *,
        attempts: int | None = None,
        give_up: str | None = None,
        silence_ms: int | None = None,
        limit_ms: int | None = None,
        limit_to: str | None = None,
        key_count: int | None = None,
        key_end: Literal["#", "*"] = "#",
        key_pause_ms: int | None = None,
        **options: Unpack[SpeakingOptions],
    ) -> None:
        super().__init__(name, prompt, **options)
        self.attempts = attempts
        self.give_up = give_up
        self.silence_ms = silence_ms
        self.limit_ms = limit_ms
        self.limit_to = limit_to
        self.key_count = key_count
        self.key_end = key_end
        self.key_pause_ms = key_pause_ms
