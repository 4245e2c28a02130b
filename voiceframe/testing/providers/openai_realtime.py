"""OpenAI Realtime, as a local server.

Follows https://developers.openai.com/api/docs/guides/realtime-conversations, the reference of its client and server
events, and the types of `openai` 3.52.

It understands what `speech()` makes: each word is 100 ms of one level, so that a word that is lost or comes twice is
missing or twice in the transcript.
"""

from __future__ import annotations

import array
import asyncio
import base64
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...audio import Audio, AudioFormat
from ...llm import TextDelta, ToolCall
from .scripts import Answer, Broken, pieces
from .server import Asked, FakeProvider, FakeSocket

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["WORD_MS", "FakeOpenAIRealtime", "speech"]

WORD_MS: Final = 100
_STEP: Final = 1_000  # the distance of two levels
_QUIET: Final = 400
_FORMATS: Final = {
    "audio/pcm": AudioFormat("pcm_s16le", 24_000),
    "audio/pcmu": AudioFormat("mulaw", 8_000),
    "audio/pcma": AudioFormat("alaw", 8_000),
}
_VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")


def speech(words: Sequence[int], format: AudioFormat, *, silence_ms: int = 0) -> bytes:
    """Sound of words 1 to 20, with silence behind it."""
    rate = format.rate
    samples = array.array("h")
    for word in words:
        samples.extend([word * _STEP] * (rate * WORD_MS // 1000))
    samples.extend([0] * (rate * silence_ms // 1000))
    return Audio(samples.tobytes(), AudioFormat("pcm_s16le", rate)).to(format)


class FakeOpenAIRealtime(FakeProvider):
    """OpenAI Realtime on a port of this machine: `place=Place(fake.url + "/v1"), api_key="key"`.

    words: what the levels of `speech()` mean, from the first. answers: what it says to the caller, one turn after the
    other; then the last one again. A text is spoken 60 ms for each character.
    transcript_ms: how long its transcripts take.
    """

    def __init__(
        self,
        answers: Iterable[Answer] = ("Hello there.",),
        *,
        words: str = "one two three four five six seven eight nine ten",
        transcript_ms: int = 0,
        key: str = "key",
    ) -> None:
        super().__init__(key=key)
        self.answers = list(answers)
        self.words = words.split()
        self.transcript_ms = transcript_ms
        self.sessions: list[Session] = []
        #: How many answers of the script were begun, in all sessions.
        self.answered = 0
        self.last: Answer = ""

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.key}"

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/realtime", self.websocket(self._talk))

    async def _talk(self, socket: FakeSocket) -> None:
        session = Session(self, socket)
        self.sessions.append(session)
        await session.run()

    def next_answer(self) -> Answer:
        self.last = self.answers[min(self.answered, len(self.answers) - 1)]
        self.answered += 1
        return self.last


class Session:
    """One connection."""

    def __init__(self, fake: FakeOpenAIRealtime, socket: FakeSocket) -> None:
        self.fake = fake
        self.socket = socket
        self.settings: dict[str, Any] = {}
        #: The conversation, in order.
        self.items: list[dict[str, Any]] = []
        #: What was cut: items with the milliseconds that were heard.
        self.truncated: list[tuple[str, int]] = []
        self.heard_ms = 0.0
        self._sound_ms: dict[str, float] = {}
        self._buffer = b""  # of the present turn
        self._speaking = False
        self._quiet_ms = 0.0
        self._response: asyncio.Task[None] | None = None
        self._response_id = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._cause: str | None = None  # the id of the message that is being answered

    def _id(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}_{len(self.fake.sessions)}_{self._numbers}"

    async def run(self) -> None:
        await self.send("session.created", session={"type": "realtime", "id": self._id("sess"), "object": "session"})
        try:
            async for message in self.socket.messages():
                await self._take(json.loads(message))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send({"type": kind, "event_id": self._id("event"), **fields})

    async def refuse(self, message: str, code: str = "invalid_value", kind: str = "invalid_request_error") -> None:
        error = {"type": kind, "code": code, "message": message, "param": None, "event_id": self._cause}
        await self.send("error", error=error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionError):  # the client is gone
            raise error

    # -- what comes

    async def _take(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        self._cause = message.get("event_id")
        if kind == "session.update":
            await self._update(message["session"])
        elif kind == "input_audio_buffer.append":
            await self._hear(base64.b64decode(message["audio"], validate=True))
        elif kind == "input_audio_buffer.commit":
            if self._buffer:
                await self._commit()
            else:
                await self.refuse("the buffer is empty", "input_audio_buffer_commit_empty")
        elif kind == "input_audio_buffer.clear":
            self._buffer = b""
            await self.send("input_audio_buffer.cleared")
        elif kind == "conversation.item.create":
            await self._create(dict(message["item"]))
        elif kind == "conversation.item.truncate":
            await self._truncate(message)
        elif kind == "response.create":
            await self._respond(message.get("response") or {})
        elif kind == "response.cancel":
            if not self._busy:
                await self.refuse("Cancellation failed: no active response found", "response_cancel_not_active")
            else:
                await self._stop("client_cancelled")
        else:
            await self.refuse(f"Invalid value: '{kind}'.")

    async def _update(self, session: dict[str, Any]) -> None:
        if session.get("type") != "realtime":
            await self.refuse("Missing required parameter: 'session.type'.", "missing_required_parameter")
            return
        audio = session.get("audio", {})
        voice = audio.get("output", {}).get("voice", "marin")
        formats = [audio.get(side, {}).get("format", {}).get("type", "audio/pcm") for side in ("input", "output")]
        if (isinstance(voice, str) and voice not in _VOICES) or not set(formats) <= set(_FORMATS):
            await self.refuse(f"Invalid value: {voice!r}, {formats!r}.")
            return
        self.settings = session
        await self.send("session.updated", session=session)

    @property
    def _format(self) -> AudioFormat:
        return _FORMATS[self.settings["audio"]["input"]["format"]["type"]]

    @property
    def _detection(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.settings["audio"]["input"].get("turn_detection")
        return found

    async def _hear(self, data: bytes) -> None:
        format = self._format
        length_ms = len(data) * 1000 / format.bytes_per_second
        begin_ms = self.heard_ms
        self.heard_ms += length_ms
        self._buffer += data
        if self._detection is None:
            return
        samples = array.array("h", Audio(data, format).pcm(format.rate))
        loud = bool(samples) and max(map(abs, samples)) > _QUIET
        if loud:
            self._quiet_ms = 0.0
            if not self._speaking:
                self._speaking = True
                self._buffer = data
                await self.send(
                    "input_audio_buffer.speech_started", audio_start_ms=int(begin_ms), item_id=self._id("item")
                )
                if self._busy and self._detection.get("interrupt_response", True):
                    await self._stop("turn_detected")
        elif self._speaking:
            self._quiet_ms += length_ms
            if self._quiet_ms >= self._detection.get("silence_duration_ms", 200):
                self._speaking = False
                await self.send(
                    "input_audio_buffer.speech_stopped", audio_end_ms=int(self.heard_ms), item_id=self._id("item")
                )
                await self._commit()
                if self._detection.get("create_response", True):
                    await self._respond({})
        else:
            self._buffer = b""

    async def _commit(self) -> None:
        item = self._id("item")
        text = self._understood(self._buffer)
        self._buffer = b""
        self.items.append({"id": item, "type": "message", "role": "user", "text": text})
        await self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        await self.send("conversation.item.added", item={"id": item, "type": "message", "role": "user", "content": []})
        if self.settings["audio"]["input"].get("transcription"):
            self._spawn(self._transcribe(item, text))

    def _understood(self, data: bytes) -> str:
        format = self._format
        samples = array.array("h", Audio(data, format).pcm(format.rate))
        counts: list[list[int]] = []
        for sample in samples:
            level = round(abs(sample) / _STEP)
            if counts and counts[-1][0] == level:
                counts[-1][1] += 1
            else:
                counts.append([level, 1])
        said = []
        for level, count in counts:
            times = round(count * 1000 / format.rate / WORD_MS)
            if 0 < level <= len(self.fake.words):
                said += [self.fake.words[level - 1]] * times
        return " ".join(said)

    async def _transcribe(self, item: str, text: str) -> None:
        await asyncio.sleep(self.fake.transcript_ms / 1000)
        kind = "conversation.item.input_audio_transcription"
        for piece in pieces(text):
            await self.send(f"{kind}.delta", item_id=item, content_index=0, delta=piece)
        usage = {"type": "duration", "seconds": 1}
        await self.send(f"{kind}.completed", item_id=item, content_index=0, transcript=text, usage=usage)

    async def _create(self, item: dict[str, Any]) -> None:
        known = {old.get("call_id") for old in self.items if old["type"] == "function_call"}
        kind = item.get("type")
        if kind == "message":
            wanted = "output_text" if item.get("role") == "assistant" else "input_text"
            parts = item.get("content") or []
            if item.get("role") not in ("user", "assistant", "system") or any(p.get("type") != wanted for p in parts):
                await self.refuse(f"Invalid item: {item!r}")
                return
            item["text"] = "".join(part["text"] for part in parts)
        elif kind == "function_call_output":
            if item.get("call_id") not in known:
                await self.refuse(f"No tool call found for function call output with call_id {item.get('call_id')}.")
                return
        elif kind != "function_call":
            await self.refuse(f"Invalid value: '{kind}'.")
            return
        item["id"] = self._id("item")
        self.items.append(item)
        shown = {name: value for name, value in item.items() if name != "text"}
        await self.send("conversation.item.added", item=shown)
        await self.send("conversation.item.done", item=shown)

    async def _truncate(self, message: Mapping[str, Any]) -> None:
        item, end_ms = message.get("item_id"), message.get("audio_end_ms", -1)
        whole = self._sound_ms.get(str(item))
        if whole is None:
            await self.refuse(f"Item {item!r} is no message of the assistant.", "item_truncate_invalid_item_id")
        elif not 0 <= end_ms <= whole + 1 or message.get("content_index") != 0:
            await self.refuse(f"Audio content of {whole} ms is already shorter than {end_ms} ms")
        else:
            self.truncated.append((str(item), end_ms))
            found = next(i for i in self.items if i["id"] == item)
            found["text"] = None
            await self.send("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=end_ms)

    # -- what it says

    @property
    def _busy(self) -> bool:
        return self._response is not None and not self._response.done()

    async def _respond(self, asked: Mapping[str, Any]) -> None:
        if self._busy:
            await self.refuse(
                "Conversation already has an active response in progress", "conversation_already_has_active_response"
            )
            return
        instructions = str(asked.get("instructions", ""))
        answer: Answer
        if "\n<say>" in instructions:
            answer = instructions.partition("\n<say>")[2].partition("</say>")[0]
            self.fake.last = answer
        elif "\n<said>" in instructions:
            said = instructions.partition("\n<said>")[2].partition("</said>")[0]
            whole = self.fake.last if isinstance(self.fake.last, str) else _text(self.fake.last)
            answer = whole.removeprefix(said).strip() if whole.startswith(said) else whole
        else:
            answer = self.fake.next_answer()
        self._response_id = self._id("resp")
        self._response = self._spawn(self._speak(self._response_id, answer, asked.get("metadata")))

    async def _stop(self, reason: str) -> None:
        task, response = self._response, self._response_id
        self._response = None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        details = {"type": "cancelled", "reason": reason}
        await self._done(response, "cancelled", details, 0)

    async def _done(self, response: str, status: str, details: Any, spoken: int) -> None:
        usage = {
            "input_tokens": 100,
            "output_tokens": 10 + spoken,
            "total_tokens": 110 + spoken,
            "input_token_details": {
                "text_tokens": 60,
                "audio_tokens": 40,
                "cached_tokens": 20,
                "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 10, "audio_tokens": spoken},
        }
        shown = {"id": response, "object": "realtime.response", "status": status, "status_details": details}
        await self.send("response.done", response=shown | {"output": [], "usage": usage})

    async def _speak(self, response: str, answer: Answer, metadata: Any) -> None:
        shown = {"id": response, "object": "realtime.response", "status": "in_progress", "metadata": metadata}
        await self.send("response.created", response=shown)
        parts = [TextDelta(answer)] if isinstance(answer, str) else list(answer)
        item = ""
        spoken_ms = 0.0
        for part in parts:
            if isinstance(part, TextDelta) and part.text:
                if not item:
                    item = self._id("item")
                    self.items.append({"id": item, "type": "message", "role": "assistant", "text": ""})
                    self._sound_ms[item] = 0.0
                    message = {"id": item, "type": "message", "role": "assistant", "content": []}
                    await self.send("response.output_item.added", response_id=response, output_index=0, item=message)
                async for kind, fields in self._sound(response, item, part.text):
                    await self.send(kind, **fields)
                spoken_ms += self._sound_ms[item]
            elif isinstance(part, ToolCall):
                call = {
                    "id": self._id("item"),
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": part.error or json.dumps(dict(part.arguments)),
                }
                self.items.append(call)
                await self.send("response.output_item.done", response_id=response, output_index=1, item=call)
            elif isinstance(part, Broken):
                self._response = None
                error = {"type": part.kind, "code": part.kind, "message": part.message}
                await self._done(response, "failed", {"type": "failed", "error": error}, 0)
                return
        self._response = None
        await self._done(response, "completed", None, round(spoken_ms / 50))

    async def _sound(self, response: str, item: str, text: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        format = _FORMATS[self.settings["audio"]["output"]["format"]["type"]]
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        found = next(i for i in self.items if i["id"] == item)
        for word in pieces(text):
            samples = array.array("h", [3_000, -3_000]) * (format.rate * 60 * len(word) // 2000)
            data = Audio(samples.tobytes(), AudioFormat("pcm_s16le", format.rate)).to(format)
            yield "response.output_audio_transcript.delta", where | {"delta": word}
            self._sound_ms[item] += len(data) * 1000 / format.bytes_per_second
            found["text"] += word
            yield "response.output_audio.delta", where | {"delta": base64.b64encode(data).decode()}


def _text(answer: Answer) -> str:
    if isinstance(answer, str):
        return answer
    return "".join(part.text for part in answer if isinstance(part, TextDelta))
