"""OpenAI Realtime: a model that hears and speaks, over a WebSocket.

Of `openai` 3.52; https://developers.openai.com/api/docs/guides/realtime-conversations, for turns
https://developers.openai.com/api/docs/guides/realtime-vad, and for the messages
https://developers.openai.com/api/reference/resources/realtime.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from ... import sockets
from ...audio import PCMU_8K, AudioFormat
from ...call import Call
from ...errors import ProviderError
from ...extras import optional
from ...llm import Message, ToolCall
from ...prices import Amounts
from ...provider import Place, Vendor, choose, redacted
from ...providers.conversation import arguments_of
from ...settings import Settings, setting
from ...tools import AnyTool
from .base import Realtime, RealtimeSettings
from .stream import (
    CallerSaid,
    RealtimeConfig,
    RealtimeEvent,
    RealtimeStream,
    Refused,
    ResponseBegan,
    ResponseEnded,
    SpeechBegan,
    SpeechStopped,
    Spoken,
    SpokenText,
    ToolWanted,
    TurnTaken,
)

__all__ = ["VOICES", "OpenAIRealtime", "OpenAIRealtimeSettings"]

#: The built-in voices; the last two only of `gpt-realtime` models.
VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
_NEW_VOICES: Final = ("marin", "cedar")

_TYPES: Final[Mapping[AudioFormat, dict[str, Any]]] = {
    PCMU_8K: {"type": "audio/pcmu"},
    AudioFormat("alaw", 8_000): {"type": "audio/pcma"},
    AudioFormat("pcm_s16le", 24_000): {"type": "audio/pcm", "rate": 24_000},
}
_REASONS: Final[Mapping[str, Literal["end", "cancelled", "length", "refused", "failed"]]] = {
    "cancelled": "cancelled",
    "client_cancelled": "cancelled",
    "completed": "end",
    "content_filter": "refused",
    "failed": "failed",
    "max_output_tokens": "length",
    "turn_detected": "cancelled",
}
#: How long a connection may take to be closed properly.
_CLOSE_S: Final = 0.5
#: What ids of events begin with that ask for a response; the service names them in its errors.
_RESPOND: Final = "respond-"
#: What the service says where there is nothing left to cancel or to cut.
_HARMLESS: Final = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})


class OpenAIRealtimeSettings(Settings, prefix="OPENAI_REALTIME"):
    """How OpenAI Realtime hears and speaks."""

    model: str = setting(default="gpt-realtime-2.1", doc="the model")
    voice: str = setting(default="marin", doc="one of the built-in voices, or the id of your own (`voice_…`)")
    turn_detection: Literal["semantic_vad", "server_vad", "own"] = setting(
        default="semantic_vad",
        doc="who ends the caller's turns: the vendor by meaning or by silence, or `Turns` of your own pipeline",
    )
    eagerness: Literal["low", "medium", "high", "auto"] = setting(
        default="medium", doc="of `semantic_vad`: waits at most 8 s, 4 s or 2 s for the caller to go on"
    )
    threshold: float = setting(default=0.5, doc="of `server_vad`: how loud speech must be", ge=0, le=1)
    silence_ms: int = setting(default=500, doc="of `server_vad`: silence that ends a turn", ge=0)
    prefix_ms: int = setting(default=300, doc="of `server_vad`: sound before speech that belongs to it", ge=0)
    idle_timeout_ms: int | None = setting(
        default=None, doc="of `server_vad`: silence after which the model speaks by itself", ge=5_000, le=30_000
    )
    noise_reduction: Literal["near_field", "far_field", "off"] = setting(
        default="near_field", doc="for a telephone at the ear or a headset, for a microphone in the room, or none"
    )
    transcription: str = setting(
        default="gpt-transcribe", doc="the model that writes down what the caller says; empty for none"
    )
    prompt: str = setting(default="", doc="what the transcription should know: names, words, a style")
    language: str = setting(default="", doc="what the caller speaks, as `en`; empty to find out")
    speed: float = setting(default=1.0, doc="how fast it speaks", ge=0.25, le=1.5)
    max_tokens: int | None = setting(default=None, doc="of one answer", ge=1, le=4_096)


class OpenAIRealtime(Realtime):
    """OpenAI Realtime in the place of VAD, STT, agent and TTS; mu-law of a telephone goes straight through.

    options: by default from the environment and the settings file. With `turn_detection="own"` it stands behind a VAD,
    an STT and `Turns`.

    Raises `ProviderError` (`provider.unknown`) for a voice that the model does not have. The rest as `Realtime`.
    """

    vendor = Vendor("openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL")
    accepts = tuple(_TYPES)
    produces = tuple(_TYPES)

    def __init__(
        self,
        instructions: str | Callable[[Call], str] = "",
        *,
        tools: Iterable[AnyTool] = (),
        greeting: str | Callable[[Call], str] | None = None,
        options: OpenAIRealtimeSettings | None = None,
        settings: RealtimeSettings | None = None,
        place: Place | None = None,
        api_key: str = "",
    ) -> None:
        super().__init__(instructions, tools=tools, greeting=greeting, settings=settings, place=place, api_key=api_key)
        self._client: Any = None
        self.options = _checked(options or OpenAIRealtimeSettings.load())
        self.own_turns = self.options.turn_detection == "own"
        # With turns of the vendor's it is the one that interrupts; a pipeline has one of them.
        self.decides_interruptions = not self.own_turns  # type: ignore[misc]

    @property
    def model(self) -> str:
        return self.options.model

    def changed(self, changes: dict[str, Any]) -> None:
        self.options = _checked(self.options.replace(**changes))

    async def prepare(self) -> None:
        """Import the SDK and make its client, off the event loop: both take their time."""
        if self._client is None:
            self._client = await self.offload(
                _client, self.key, self.place.http(self.vendor), tuple(sorted(self.place.headers.items()))
            )

    async def open(self, config: RealtimeConfig) -> RealtimeStream:
        await self.prepare()
        connection = await self._client.realtime.connect(
            model=self.options.model,
            extra_query=dict(self.place.query),
            websocket_connection_options={
                **sockets.options(self.place.websocket(self.vendor)),
                "close_timeout": _CLOSE_S,
            },
        ).enter()
        stream = _Stream(connection, self)
        try:
            await stream.begin(config)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def session(self, config: RealtimeConfig) -> dict[str, Any]:
        """The settings of a session, as the vendor takes them."""
        options = self.options
        heard: dict[str, Any] = {
            "format": _TYPES[config.format],
            "noise_reduction": None if options.noise_reduction == "off" else {"type": options.noise_reduction},
            "transcription": None,
            "turn_detection": None,
        }
        if options.transcription:
            transcription = {"model": options.transcription, "prompt": options.prompt, "language": options.language}
            heard["transcription"] = {name: value for name, value in transcription.items() if value}
        if config.own_turns:
            pass
        elif options.turn_detection == "semantic_vad":
            heard["turn_detection"] = {"type": "semantic_vad", "eagerness": options.eagerness}
        elif options.turn_detection == "server_vad":
            heard["turn_detection"] = {
                "type": "server_vad",
                "threshold": options.threshold,
                "silence_duration_ms": options.silence_ms,
                "prefix_padding_ms": options.prefix_ms,
            }
            if options.idle_timeout_ms is not None:
                heard["turn_detection"]["idle_timeout_ms"] = options.idle_timeout_ms
        if heard["turn_detection"] is not None:
            heard["turn_detection"] |= {"create_response": True, "interrupt_response": True}
        voice: Any = {"id": options.voice} if options.voice.startswith("voice_") else options.voice
        session: dict[str, Any] = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": heard,
                "output": {"format": _TYPES[config.format], "voice": voice, "speed": options.speed},
            },
            "tools": [
                {"type": "function", "name": t.name, "description": t.description, "parameters": dict(t.parameters)}
                for t in config.tools
            ],
        }
        if config.instructions:
            session["instructions"] = config.instructions
        if options.max_tokens is not None:
            session["max_output_tokens"] = options.max_tokens
        return session

    def failure(self, error: Any) -> ProviderError:
        """What an error of the service means."""
        code, kind = str(getattr(error, "code", None) or ""), str(getattr(error, "type", None) or "")
        status = 400
        if "rate_limit" in code or "quota" in code or "rate_limit" in kind:
            status = 429
        elif "api_key" in code or kind == "authentication_error":
            status = 401
        elif kind == "server_error" or code in ("server_error", "session_expired", "internal_error"):
            status = 500
        names = {400: "request", 401: "auth", 429: "rate-limit", 500: "server"}
        return ProviderError.of(
            f"provider.{names[status]}",
            vendor=self.vendor.name,
            status=status,
            detail=" ".join(redacted(str(getattr(error, "message", error))).split())[:200],
            by="OpenAIRealtime",
            variable=self.vendor.key_variable,
        )


@lru_cache(maxsize=16)
def _client(key: str, url: str, headers: tuple[tuple[str, str], ...]) -> Any:
    """A client of the SDK. It only knows where to connect: all calls share it, and its certificates are read once."""
    sdk = optional("openai", extra="openai", what="OpenAIRealtime")
    optional("openai.resources.realtime", extra="openai", what="OpenAIRealtime")
    optional("openai.types.realtime.realtime_server_event", extra="openai", what="OpenAIRealtime")
    optional("websockets.asyncio.client", extra="openai", what="OpenAIRealtime")
    client = sdk.AsyncOpenAI(api_key=key, base_url=url, default_headers=dict(headers), max_retries=0, timeout=None)
    sockets.options(url.replace("http", "ws", 1))  # with the certificates, which are read once
    _ = client.realtime  # which is loaded when it is first asked for
    return client


def _checked(options: OpenAIRealtimeSettings) -> OpenAIRealtimeSettings:
    if not options.voice.startswith("voice_"):
        old = not options.model.startswith("gpt-realtime")
        known = {voice: voice for voice in VOICES if not (old and voice in _NEW_VOICES)}
        choose(f"voice of {options.model}", options.voice, known, by="OpenAIRealtimeSettings(voice=...)")
    return options


class _Stream(RealtimeStream):
    def __init__(self, connection: Any, owner: OpenAIRealtime) -> None:
        self._connection = connection
        self._owner = owner
        self._said: dict[str, str] = {}  # transcripts that are not final

    async def begin(self, config: RealtimeConfig) -> None:
        """Set the session up. Raises if the service does not take it."""
        await self.configure(config)
        while True:
            event = await self._connection.recv()
            if event.type == "session.updated":
                return
            if event.type == "error":
                raise self._owner.failure(event.error)

    # -- to the service

    async def send_audio(self, audio: bytes) -> None:
        await self._connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())

    async def commit(self) -> None:
        await self._connection.input_audio_buffer.commit()

    async def clear(self) -> None:
        await self._connection.input_audio_buffer.clear()

    async def send_text(self, text: str, role: Literal["user", "system", "assistant"]) -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        await self._add({"type": "message", "role": role, "content": [{"type": kind, "text": text}]})

    async def send_tool_result(self, call_id: str, text: str) -> None:
        await self._add({"type": "function_call_output", "call_id": call_id, "output": text})

    async def _add(self, item: dict[str, Any]) -> None:
        await self._connection.conversation.item.create(item=item)

    async def respond(self, tag: str, *, say: str = "", said: str = "") -> None:
        response: dict[str, Any] = {"metadata": {"tag": tag}}
        if say:
            response |= {
                "instructions": "Say exactly the words between <say> and </say>, in a natural tone of voice. Add "
                f"nothing, leave nothing out, and do not say the tags themselves.\n<say>{say}</say>",
                "tool_choice": "none",
            }
        elif said:
            response["instructions"] = (
                "Your last answer was cut off by a fault of the line. The caller has heard what is between <said> and "
                f"</said>. Say the rest of it, and nothing twice.\n<said>{said}</said>"
            )
        await self._connection.response.create(response=response, event_id=_RESPOND + tag)

    async def cancel(self) -> None:
        await self._connection.response.cancel()

    async def truncate(self, item: str, heard_ms: int) -> None:
        await self._connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=heard_ms)

    async def restore(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            if message.role == "tool":
                await self.send_tool_result(str(message.call_id), message.text)
                continue
            if message.text.strip():
                await self.send_text(message.text, message.role)
            for call in message.tool_calls:
                arguments = json.dumps(dict(call.arguments))
                await self._add(
                    {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
                )

    async def configure(self, config: RealtimeConfig) -> None:
        await self._connection.session.update(session=self._owner.session(config))

    async def aclose(self) -> None:
        await self._connection.close()

    # -- from the service

    async def events(self) -> AsyncGenerator[RealtimeEvent, None]:
        async for event in self._connection:
            kind = getattr(event, "type", None)
            if not isinstance(kind, str):
                raise ValueError(f"a message without a type: {str(event)[:80]}")
            for told in self._told(kind, event):
                yield told

    def _told(self, kind: str, event: Any) -> Iterable[RealtimeEvent]:
        if kind == "response.output_audio.delta":
            yield Spoken(event.response_id, event.item_id, base64.b64decode(event.delta, validate=True))
        elif kind == "response.output_audio_transcript.delta":
            yield SpokenText(event.response_id, event.delta)
        elif kind == "input_audio_buffer.speech_started":
            yield SpeechBegan(event.audio_start_ms)
        elif kind == "input_audio_buffer.speech_stopped":
            yield SpeechStopped(event.audio_end_ms)
        elif kind == "input_audio_buffer.committed":
            yield TurnTaken(event.item_id)
        elif kind == "conversation.item.input_audio_transcription.delta":
            text = self._said[event.item_id] = self._said.get(event.item_id, "") + (event.delta or "")
            yield CallerSaid(event.item_id, text, final=False)
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._said.pop(event.item_id, None)
            yield CallerSaid(event.item_id, event.transcript, final=True)
        elif kind == "conversation.item.input_audio_transcription.failed":
            yield CallerSaid(event.item_id, self._said.pop(event.item_id, ""), final=True)
        elif kind == "response.created":
            metadata = event.response.metadata or {}
            yield ResponseBegan(event.response.id, str(metadata.get("tag", "")))
        elif kind == "response.output_item.done" and event.item.type == "function_call":
            arguments, error = arguments_of(event.item.arguments)
            yield ToolWanted(event.response_id, ToolCall(event.item.call_id, event.item.name, arguments, error))
        elif kind == "response.done":
            yield self._done(event.response)
        elif kind == "error":
            code = str(getattr(event.error, "code", None) or "")
            if code == "session_expired":
                raise self._owner.failure(event.error)
            if code not in _HARMLESS:
                busy = code == "conversation_already_has_active_response"
                cause = str(getattr(event.error, "event_id", None) or "")
                tag = cause.removeprefix(_RESPOND) if cause.startswith(_RESPOND) else ""
                yield Refused(self._owner.failure(event.error), tag, busy)

    def _done(self, response: Any) -> ResponseEnded:
        details = getattr(response, "status_details", None)
        why = str(getattr(details, "reason", None) or response.status)
        error = getattr(details, "error", None)
        return ResponseEnded(
            response.id,
            _REASONS.get(why, _REASONS.get(str(response.status), "end")),
            _amounts(getattr(response, "usage", None)),
            self._owner.failure(error) if error is not None else None,
        )


def _amounts(usage: Any) -> Amounts | None:
    if usage is None:
        return None
    heard = getattr(usage, "input_token_details", None)
    spoken = getattr(usage, "output_token_details", None)
    cached = getattr(heard, "cached_tokens_details", None)
    return Amounts(
        input_tokens=getattr(usage, "input_tokens", None) or 0,
        cached_tokens=getattr(heard, "cached_tokens", None) or 0,
        output_tokens=getattr(usage, "output_tokens", None) or 0,
        audio_input_tokens=getattr(heard, "audio_tokens", None) or 0,
        audio_cached_tokens=getattr(cached, "audio_tokens", None) or 0,
        audio_output_tokens=getattr(spoken, "audio_tokens", None) or 0,
    )
