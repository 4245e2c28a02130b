"""Deepgram: Nova, which is told when a segment is over, and Flux, which knows by itself when a turn is.

Sources: developers.deepgram.com/reference/speech-to-text/listen-streaming, /docs/finalize, /docs/audio-keep-alive,
/docs/flux (listen v2), /docs/flux/configure, /docs/flux/force-end-turn; SDK deepgram-sdk 7.17.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from typing import Final as Constant

from ... import sockets
from ...audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from ...deepgram_sdk import DEEPGRAM, load, socket_client
from ...errors import ProviderError
from ...frames import Alternative, ExpectFrame, Word
from ...provider import Place, redacted
from ...settings import Settings, setting
from .base import STTSettings
from .cloud import CloudSTT
from .stream import EagerEnd, Final, Interim, Resumed, STTResult, STTStream, TurnEnd, TurnStart
from .turn_text import TurnText

__all__ = ["DeepgramFluxSTT", "DeepgramFluxSettings", "DeepgramSTT", "DeepgramSTTSettings"]

_log = logging.getLogger(__name__)

_ALAW_8K: Constant = AudioFormat("alaw", 8_000)
_FORMATS: Constant = (
    PCM_16K,
    PCMU_8K,
    _ALAW_8K,
    PCM_8K,
    AudioFormat("pcm_s16le", 24_000),
    AudioFormat("pcm_s16le", 48_000),
)
_ENCODINGS: Constant = {"pcm_s16le": "linear16", "mulaw": "mulaw", "alaw": "alaw"}
#: An answer to `Finalize` is not promised where little audio is left to be processed. How much that is at most is an
#: estimate: the vendor gives no number.
_LITTLE_MS: Constant = 1_000
#: Silence, a sample of it.
_SILENCE: Constant = {"pcm_s16le": b"\0\0", "mulaw": b"\xff", "alaw": b"\xd5"}
#: The vendor's limit for all keyterms together. How many tokens one has is an estimate, rather too high.
_MOST_TOKENS: Constant = 500


class DeepgramSTTSettings(Settings, prefix="DEEPGRAM_STT"):
    """How Deepgram Nova listens."""

    model: str = setting(default="nova-3", doc="the model")
    language: str = setting(default="en-US", doc="BCP 47 tag of the language, or `multi`")
    smart_format: bool = setting(default=False, doc="whether numbers, dates and addresses are written as one does")
    punctuate: bool = setting(default=True, doc="whether there are punctuation and capitals")
    numerals: bool = setting(default=False, doc="whether numbers are written in digits")
    profanity_filter: bool = setting(default=False, doc="whether bad words are masked")
    interim_results: bool = setting(default=True, doc="whether words come while they may still change")
    endpointing_ms: int = setting(
        default=300, doc="silence after which Deepgram gives a part as final; 0 for never", ge=0
    )
    redact: tuple[str, ...] = setting(default=(), doc="what is masked: pci, ssn, numbers")
    tag: tuple[str, ...] = setting(default=(), doc="labels for Deepgram's own reports of usage")
    mip_opt_out: bool = setting(default=False, doc="whether Deepgram may not improve its models with the audio")


class DeepgramFluxSettings(Settings, prefix="DEEPGRAM_FLUX"):
    """How Deepgram Flux listens, and when it takes a turn for over."""

    model: str = setting(default="flux-general-en", doc="the model: flux-general-en or flux-general-multi")
    language: str = setting(default="en", doc="language of the transcriptions; of flux-general-multi a hint")
    turns: Literal["provider", "vad"] = setting(
        default="provider", doc="who ends a segment: Flux, or the VAD, which then has it told so"
    )
    eot_threshold: float = setting(default=0.7, doc="how sure Flux is of the end of a turn", ge=0.5, le=1.0)
    eager_eot_threshold: float | None = setting(
        default=None, doc="how sure it is for an early announcement; none for no such", ge=0.3, le=0.9
    )
    eot_timeout_ms: int = setting(default=5_000, doc="silence that ends a turn however sure it is", ge=500, le=60_000)
    tag: tuple[str, ...] = setting(default=(), doc="labels for Deepgram's own reports of usage")
    mip_opt_out: bool = setting(default=False, doc="whether Deepgram may not improve its models with the audio")


class _Deepgram(CloudSTT):
    vendor = DEEPGRAM
    accepts = _FORMATS
    _path: ClassVar[str]

    def load(self) -> None:
        load(self._path, self.by)

    def keyterms(self, hints: Sequence[str]) -> list[str]:
        """As many of these as Deepgram takes: with more it would take none, and refuse the connection."""
        found: list[str] = []
        tokens = 0
        for hint in hints:
            tokens += 1 + len(hint) // 2
            if tokens > _MOST_TOKENS:
                _log.warning("%s takes about %d tokens of hints: others are left out.", self.name, _MOST_TOKENS)
                break
            found.append(hint)
        return found

    def not_configured(self, message: Any) -> None:
        """Deepgram has refused hints or thresholds, and goes on with those before."""
        said = f"{getattr(message, 'code', '')}: {getattr(message, 'description', '')}"
        _log.warning("%s: Deepgram goes on with the settings before: %s", self.name, redacted(said))

    async def _socket(self, query: Mapping[str, Any]) -> tuple[Any, Any]:
        """The SDK's client, and the connection under it."""
        ping_s = self.settings.ping_ms / 1000
        return await socket_client(self.place, self._path, query, self.key, by=self.by, ping_s=ping_s, pong_s=ping_s)


class DeepgramSTT(_Deepgram):
    """Deepgram Nova over `/v1/listen`. µ-law and A-law go straight through.

    The hints are `keyterm`s of Nova-3, and change while it runs; older models take none.
    """

    keep_alive_ms: ClassVar[int] = 4_000
    _path = "/v1/listen"

    def __init__(
        self,
        settings: DeepgramSTTSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or DeepgramSTTSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    def model_takes_hints(self, model: str) -> bool:
        return model.startswith("nova-3")

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        options: DeepgramSTTSettings = self.options
        query = {
            "model": options.model,
            "language": language,
            "encoding": _ENCODINGS[format.encoding],
            "sample_rate": format.rate,
            "channels": 1,
            "smart_format": options.smart_format,
            "punctuate": options.punctuate,
            "numerals": options.numerals,
            "profanity_filter": options.profanity_filter,
            "interim_results": options.interim_results,
            "endpointing": options.endpointing_ms or "false",
            "redact": options.redact,
            "tag": options.tag,
            "mip_opt_out": options.mip_opt_out,
            "keyterm": self.keyterms(self.hints) if self.takes_hints else [],
        }
        return _Nova(*await self._socket(query), format, self)


class _Nova(STTStream):
    """Places are in milliseconds of the audio that was sent on this connection."""

    def __init__(self, client: Any, socket: Any, format: AudioFormat, owner: DeepgramSTT) -> None:
        self._client = client
        self._socket = socket
        self._per_ms = format.bytes_per_second / 1000
        self._silence = _SILENCE[format.encoding] * (format.rate * 2 * _LITTLE_MS // 1000)
        self._owner = owner
        self._sent_ms = 0.0
        self._final_ms = 0.0  # how far final results go
        self._began: list[float] = []  # where segments without a result begin
        self._asked: list[float] = []  # where those that are over end
        self._keyterms: list[str] | None = None  # that were not told yet
        self._configuring = False  # an answer to the last ones is due
        self._results: asyncio.Queue[STTResult | Exception] = asyncio.Queue()
        self._no_answer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._began.append(self._sent_ms)

    async def send(self, audio: bytes) -> None:
        self._sent_ms += len(audio) / self._per_ms
        await self._client.send_media(audio)

    async def finalize(self) -> None:
        self._asked.append(self._sent_ms)
        await self._client.send_finalize()
        self._expect_answer()

    async def keep_alive(self) -> None:
        await self._client.send_keep_alive()

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        if changes:
            return False
        self._keyterms = self._owner.keyterms(hints)
        if not self._configuring:  # one is refused while another has no answer
            await self._configure()
        return True

    async def _configure(self) -> None:
        """Tell the newest hints, if there are any that were not told."""
        from deepgram.listen.v1.types import ListenV1Configure

        keyterms, self._keyterms = self._keyterms, None
        self._configuring = keyterms is not None
        if keyterms is not None:
            # An empty list takes all of them away; one that is left out changes nothing.
            await self._client.send_configure(ListenV1Configure(keyterms=keyterms))

    async def aclose(self) -> None:
        if self._no_answer is not None:
            self._no_answer.cancel()
        if self._asking is not None:
            self._asking.cancel()
        await sockets.close(self._socket)

    def _expect_answer(self) -> None:
        """Take no answer for one where that may be: most of the audio is covered already."""
        if self._no_answer is not None:
            self._no_answer.cancel()
            self._no_answer = None
        if self._asked and self._asked[0] - self._final_ms <= _LITTLE_MS:
            loop = asyncio.get_running_loop()
            self._no_answer = loop.call_later(self._owner.settle_ms / 1000, self._no_answer_came)

    def _no_answer_came(self) -> None:
        self._no_answer = None
        self._asking = asyncio.ensure_future(self._nothing_left(len(self._asked)))

    async def _nothing_left(self, asked: int) -> None:
        """Ask again, behind so much silence that there is something to answer about. One that hears answers then, and
        one that is deaf while its socket lives is found out before the caller's "yes" is taken for noise."""
        try:
            await sockets.alive(self._socket)
            if len(self._asked) == asked:
                await self.send(self._silence)
                await self._client.send_finalize()
        except Exception as error:
            self._results.put_nowait(error)

    def _end(self, final: Final) -> Final:
        """The first segment that is over has its result."""
        self._asked.pop(0)
        if self._began:
            self._began.pop(0)
        self._expect_answer()
        return final

    async def results(self) -> AsyncGenerator[STTResult, None]:
        reader = asyncio.ensure_future(self._read())
        try:
            while True:
                result = await self._results.get()
                if isinstance(result, Exception):
                    raise result
                yield result
        finally:
            reader.cancel()

    async def _read(self) -> None:
        try:
            while True:
                # `recv()` and not the iterator, which skips what is no JSON without a word.
                message = await self._client.recv()
                if getattr(message, "type", None) in ("ConfigureSuccess", "ConfigureFailure"):
                    await self._configure()
                found = self._understand(message)
                if found is not None:
                    self._results.put_nowait(found)
        except Exception as error:
            self._results.put_nowait(error)

    def _understand(self, message: Any) -> STTResult | None:
        kind = getattr(message, "type", None)
        if kind == "Error":
            raise _failure(message.code or message.variant, message.description, self._owner.by)
        if kind == "ConfigureFailure":
            self._owner.not_configured(message)
        if kind != "Results":
            return None
        found = message.channel.alternatives
        best = found[0]
        begin_ms = message.start * 1000
        until_ms = begin_ms + message.duration * 1000
        if not message.is_final:
            return Interim(best.transcript, best.confidence) if best.transcript and self._began else None
        self._final_ms = max(self._final_ms, until_ms)
        origin_ms = self._began[0] if self._began else 0.0
        if message.from_finalize and until_ms < origin_ms:
            return None  # of a segment that was taken for answered
        words = tuple(
            Word(w.punctuated_word or w.word, round(w.start * 1000 - origin_ms), round(w.end * 1000 - origin_ms))
            for w in best.words
        )
        final = Final(
            best.transcript,
            best.confidence,
            words,
            tuple(Alternative(other.transcript, other.confidence) for other in found[1:]),
            last=False,
            until_ms=until_ms - origin_ms,
            language=(best.languages or ("",))[0],  # of `multi`: the one with the most words
        )
        if message.from_finalize and self._asked:
            # Behind the end there may be silence of ours.
            return self._end(replace(final, last=True, until_ms=min(until_ms, self._asked[0]) - origin_ms))
        self._expect_answer()
        return final


class DeepgramFluxSTT(_Deepgram):
    """Deepgram Flux over `/v2/listen`, with its own turns: for `Turns(TurnSettings(endpointing="provider"))`.

    It hears all audio of the call, and needs no VAD. With one, each stretch of speech has its words soon after its end;
    with `turns="vad"` Flux is told that the turn is over when the VAD says so.
    """

    fed: ClassVar[Literal["speech", "always"]] = "always"
    hears_turns: ClassVar[bool] = True
    _path = "/v2/listen"

    def __init__(
        self,
        settings: DeepgramFluxSettings | None = None,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            settings or DeepgramFluxSettings.load(), stt, place=place, api_key=api_key, hints=hints, aliases=aliases
        )

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        options: DeepgramFluxSettings = self.options
        forced = options.turns == "vad"
        query = {
            "model": options.model,
            "encoding": _ENCODINGS[format.encoding],
            "sample_rate": format.rate,
            # 1 switches Flux's own end of turn off, as its documentation has it for turns that are ended from outside.
            "eot_threshold": 1.0 if forced else options.eot_threshold,
            "eager_eot_threshold": None if forced else options.eager_eot_threshold,
            "eot_timeout_ms": options.eot_timeout_ms,
            "language_hint": language.partition("-")[0] if options.model.endswith("multi") else None,
            "tag": options.tag,
            "mip_opt_out": options.mip_opt_out,
            "keyterm": self.keyterms(self.hints),
        }
        return _Flux(*await self._socket(query), format, self, forced)


class _Flux(STTStream):
    """All audio of the call. Turns are numbered by Flux; their text is given piece by piece as segments end."""

    def __init__(self, client: Any, socket: Any, format: AudioFormat, owner: DeepgramFluxSTT, forced: bool) -> None:
        self._client = client
        self._socket = socket
        self._owner = owner
        self._forced = forced
        self._per_ms = format.bytes_per_second / 1000
        self._sent_ms = 0.0
        self._text = TurnText(alive=lambda: sockets.alive(socket), settle_ms=owner.settle_ms, until_end=forced)

    async def send(self, audio: bytes) -> None:
        self._sent_ms += len(audio) / self._per_ms
        await self._client.send_media(audio)

    async def finalize(self) -> None:
        self._text.ask(self._sent_ms)
        if self._forced:
            await self._client.send_force_end_turn()

    async def resume(self, words: int) -> None:
        self._text.resume(words)

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        live = {"eot_threshold", "eager_eot_threshold", "eot_timeout_ms"}
        if not changes.keys() <= live or None in changes.values() or (self._forced and changes):
            return False
        await self._client.send_configure(
            {
                "type": "Configure",
                "keyterms": self._owner.keyterms(hints),
                **({"thresholds": dict(changes)} if changes else {}),
            }
        )
        return True

    async def aclose(self) -> None:
        self._text.stop()
        await sockets.close(self._socket)

    def results(self) -> AsyncGenerator[STTResult, None]:
        return self._text.read(self._client.recv, self._understand)

    def _understand(self, message: Any) -> None:
        kind = getattr(message, "type", None)
        if kind == "Error":
            raise _failure(message.code, message.description, self._owner.by)
        if kind == "ConfigureFailure":
            self._owner.not_configured(message)
        if kind != "TurnInfo":
            return
        event, text = message.event, message.transcript
        until_ms = message.audio_window_end * 1000
        words = [
            Word(w.word, round(w.start * 1000), round(w.end * 1000))
            for w in message.words
            if w.start is not None and w.end is not None
        ]
        sure = math.prod(w.confidence for w in message.words) ** (1 / len(message.words)) if message.words else 1.0
        if event == "StartOfTurn":
            self._text.put(TurnStart())
            self._text.update(text, words, sure, until_ms)
        elif event == "EagerEndOfTurn":
            self._text.update(text, words, sure, until_ms)
            self._text.put(EagerEnd(text, message.end_of_turn_confidence))
        elif event == "TurnResumed":
            self._text.put(Resumed())
            self._text.update(text, words, sure, until_ms)
        elif event == "EndOfTurn":
            self._text.end(text, words, sure, until_ms)
            self._text.put(TurnEnd(text, sure, until_ms))
        else:
            self._text.update(text, words, sure, until_ms)


def _failure(code: str, description: str, by: str) -> ProviderError:
    """What Deepgram says in a message of the type Error: it closes the connection after it."""
    detail = redacted(f"{code}: {description}")
    upper = code.upper()
    if "INTERNAL" in upper or "NET" in upper or "TIMEOUT" in upper or "UNAVAILABLE" in upper:
        return ProviderError.of("provider.server", vendor="deepgram", status=0, detail=detail)
    return ProviderError.of("provider.request", vendor="deepgram", status=0, detail=detail, by=by)
