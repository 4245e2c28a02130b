"""What the fakes of language models answer: the same script for all vendors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ...llm import Part, Stop, TextDelta, ToolCall, Usage
from .server import Asked, FakeProvider, Fault

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Answer", "Broken", "FakeLLM", "Thought", "pieces"]


@dataclass(frozen=True)
class Broken:
    """The answer breaks off with an error in the vendor's own form. kind: the vendor's name of it."""

    kind: str = "server_error"
    message: str = "it broke, as was asked for"


@dataclass(frozen=True)
class Thought:
    """Something that the model thinks, with the signature that it wants back."""

    text: str = "Hm."
    signature: str = "c2lnbmF0dXJl"


#: One answer: a text, which comes word by word, or its parts in order.
Answer = str | Sequence[Part | Broken | Thought]


class FakeLLM(FakeProvider):
    """A vendor's language model that gives the answers of its script, one for each request that it accepts.

    answers: what it says; when they are at their end, the last one again.
    usage: what it counts, if an answer says nothing else.

    `bodies` has what it was asked, and `lines` on which connections.
    """

    def __init__(
        self, answers: Iterable[Answer] = ("Hello.",), *, usage: Usage | None = None, key: str = "key"
    ) -> None:
        super().__init__(key=key)
        self.answers = list(answers)
        self.usage = usage or Usage(12, 7, 4)
        self.bodies: list[dict[str, Any]] = []
        #: The connections on which it was asked, by their port at the other end.
        self.lines: set[int] = set()

    async def _enter(self, request: web.Request) -> tuple[Fault, web.StreamResponse | None]:
        if request.transport is not None:
            self.lines.add(request.transport.get_extra_info("peername")[1])
        return await super()._enter(request)

    def next_answer(self, body: dict[str, Any]) -> tuple[list[Part | Broken | Thought], Usage, str]:
        """The parts of the next answer without the usage and the stop, which stand beside it."""
        answer = self.answers[min(len(self.bodies), len(self.answers) - 1)]
        self.bodies.append(body)
        parts: list[Part | Broken | Thought] = []
        usage, reason = self.usage, ""
        for part in [TextDelta(answer)] if isinstance(answer, str) else answer:
            if isinstance(part, Usage):
                usage = part
            elif isinstance(part, Stop):
                reason = part.reason
            elif isinstance(part, TextDelta):
                parts += [TextDelta(word) for word in pieces(part.text)]
            else:
                parts.append(part)
        if not reason:
            reason = "tools" if any(isinstance(part, ToolCall) for part in parts) else "end"
        return parts, usage, reason

    def refuse(self, message: str, status: int = 400) -> NoReturn:
        """Answer with an error in the vendor's form."""
        from aiohttp import web

        cls: type[web.HTTPException] = {404: web.HTTPNotFound}.get(status, web.HTTPBadRequest)
        raise cls(text=json.dumps(self.error_body(message, status)), content_type="application/json")

    def error_body(self, message: str, status: int) -> Mapping[str, Any]:
        """An error as the vendor writes it."""
        return {"error": {"message": message, "type": "invalid_request_error", "code": None, "param": None}}

    def read(self, asked: Asked) -> dict[str, Any]:
        """The body of a request."""
        try:
            body = asked.json()
        except ValueError:
            self.refuse("We could not parse the JSON body of your request.")
        if not isinstance(body, dict):
            self.refuse("The body is no object.")
        return body


def pieces(text: str) -> list[str]:
    """The words of a text, each with the space in front of it: joined, they are the text."""
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def sse(data: Any, event: str = "") -> bytes:
    """One event of a stream of server-sent events."""
    head = f"event: {event}\n" if event else ""
    body = data if isinstance(data, str) else json.dumps(data)
    return f"{head}data: {body}\n\n".encode()


async def in_order(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The pieces of an answer, as the server sends them."""
    for chunk in chunks:
        yield chunk
