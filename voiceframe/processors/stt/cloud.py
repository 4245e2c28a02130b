"""Speech to text over the network: what all vendors have in common."""

from __future__ import annotations

import abc
import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from typing import Final as Constant

from ...audio import AudioFormat
from ...errors import ProviderError, RecognitionError, VoiceframeError
from ...events import ProviderTTFB, ProviderUsage
from ...frames import (
    EndFrame,
    ExpectFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    UpdateSettingsFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...prices import Amounts, cost, prices
from ...processor import handles
from ...provider import Place, Vendor, api_key
from ...settings import Settings
from ..vad.base import VAD
from .base import STT, STTSettings, _Segment, choose_format
from .session import Session
from .stream import EagerEnd, Resumed, STTStream, TurnEnd, TurnStart

__all__ = ["CloudSTT"]

_log = logging.getLogger(__name__)

#: Audio after which its usage is told at the latest.
_BILLED_MS: Constant = 30_000
#: What no later attempt can mend.
_FOR_GOOD: Constant = ("provider.key", "provider.auth", "provider.request", "provider.unsupported")


class CloudSTT(STT):
    """A recognizer at a vendor's. A subclass says `vendor`, has `options` with `model` and `language`, and `open()`.

    `open()` makes one connection, and raises for whatever goes wrong; that it is made while the phone rings, kept, made
    again when it is lost, and told once more what it has not answered, is done here. So is the rest of what a
    user expects: usage, times, hints, corrections, settings that change in a call.

    options: the vendor's settings; stt: those of every recognizer. By default from the environment and the file.
    place: where the vendor is asked. api_key: by default from the environment.
    hints: words that are likely to be said: names, products. The dialog adds those of its `ExpectFrame.phrases`.
    aliases: what is to be read in place of what the recognizer writes: `{"voice frame": "Voiceframe"}`. Whole words, in
        any case; `TranscriptionFrame.heard` keeps what was there before.
    """

    vendor: ClassVar[Vendor]
    #: How often something is sent while nobody speaks; 0 if the connection stays without.
    keep_alive_ms: ClassVar[int] = 0

    def __init__(
        self,
        options: Settings,
        stt: STTSettings | None = None,
        *,
        place: Place | None = None,
        api_key: str = "",
        hints: tuple[str, ...] | list[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(stt)
        self.options: Any = options
        self.place = place or Place()
        self.language = options.language  # type: ignore[attr-defined]
        #: Whether the vendor takes hints for this model.
        self.takes_hints = self.model_takes_hints(options.model)  # type: ignore[attr-defined]
        self._billed_ms = 0.0  # audio that the vendor was sent and that no event has told of yet
        self._tokens = Amounts()  # the same for tokens
        self._given_key = api_key
        self._own_hints = tuple(hints)
        self._phrases: tuple[str, ...] = ()
        self._aliases = _Aliases(aliases or {})
        self._vad = False  # whether somebody else says when the caller speaks
        self._refused: VoiceframeError | None = None
        self._hints_told = False

    @property
    def by(self) -> str:
        """The class that the user has written."""
        return type(self).__name__

    @property
    def key(self) -> str:
        """The API key. Raises `ProviderError` (`provider.key`) if there is none."""
        return api_key(self.vendor, self._given_key, self.by)

    @property
    def settle_ms(self) -> float:
        """How long to wait where a vendor may have nothing more to say: less than until it is taken for lost."""
        return self.settings.silent_ms / 3

    def model_takes_hints(self, model: str) -> bool:
        """Whether the vendor takes hints for a model."""
        return True

    @property
    def hints(self) -> tuple[str, ...]:
        """What is likely to be said now, each once."""
        return tuple(dict.fromkeys((*self._own_hints, *self._phrases)))

    def load(self) -> None:
        """Import what `open()` needs. Runs in a thread, while it rings and before the first connection.

        Raises `MissingExtra`.
        """

    @abc.abstractmethod
    async def open(self, format: AudioFormat, language: str) -> STTStream:
        """One connection, that takes audio of `format`."""

    # -- the life of the call

    async def setup(self) -> None:
        """Connect while the phone rings. A vendor that is down does not fail the call; one that refuses does."""
        _ = self.key
        prices()  # a file with prices that cannot be read is told now, and not at the first words
        self._vad = self._find_vad()
        await self.offload(self.load)
        produces = self.call.transport.input().produces
        if not produces:
            return  # the first audio will say what the line has
        self.format = choose_format(self.accepts, produces[0])
        self._stream = session = Session(self, self.format)
        self._reader = self.spawn(self._read(session), name="stt-results", lasting=True)
        done, _ = await asyncio.wait([session.tried], timeout=self.settings.warm_ms / 1000)
        error = session.tried.result() if done else None
        if error is not None and (not isinstance(error, ProviderError) or error.code in _FOR_GOOD):
            raise error

    def _find_vad(self) -> bool:
        """Whether a VAD stands before this. Raises if it cannot work without one."""
        before = []
        for node in self.call.engine.nodes:
            if node.proc is self:
                break
            before.append(node.proc)
        if any(isinstance(proc, VAD) for proc in before):
            return True
        # What a user has written, or a test pushes, may say when somebody speaks.
        known = all(type(proc).__module__.startswith("voiceframe.") for proc in before)
        ours = bool(before) and known and bool(self.call.transport.input().produces)
        if ours and not self.hears_turns:
            raise RecognitionError.of("stt.no-vad", processor=self.name)
        return not ours and not self.hears_turns

    async def _started(self) -> STTStream:
        return Session(self, self.format)

    async def cleanup(self) -> None:
        await super().cleanup()
        self._bill()

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        await super().on_end(frame)
        self._bill()

    # -- hints and settings

    async def prepare(self, expect: ExpectFrame) -> None:
        if expect.phrases == self._phrases:
            return
        before = self.hints
        self._phrases = expect.phrases
        if self.hints != before:
            await self._configure({})

    async def _configure(self, changes: Mapping[str, Any]) -> None:
        if self.hints and not self.takes_hints and not self._hints_told:
            self._hints_told = True
            _log.warning("%s takes no hints with the model %s: they are left out.", self.name, self.options.model)
        if isinstance(self._stream, Session) and (changes or self.takes_hints):
            await self._stream.configure(self.hints if self.takes_hints else (), changes)

    @handles(UpdateSettingsFrame)
    async def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target != self.name:
            return
        of_vendor = {name: value for name, value in frame.changes.items() if hasattr(self.options, name)}
        rest = {name: value for name, value in frame.changes.items() if name not in of_vendor}
        options = self.options.replace(**of_vendor)
        self.settings = self.settings.replace(**rest)
        self.options = options
        self.language = options.language
        if "model" in of_vendor:
            self.takes_hints = self.model_takes_hints(options.model)
        self._refused = None
        if of_vendor:
            await self._configure(of_vendor)

    def _corrected(self, text: str) -> str:
        return self._aliases.correct(text)

    # -- turns of the vendor's

    def on_started(self, frame: VADUserStartedSpeakingFrame) -> None:
        self._vad = True
        super().on_started(frame)

    def _turned(self, result: TurnStart | EagerEnd | Resumed | TurnEnd) -> None:
        now_ms = round(self._now_ms())
        if isinstance(result, TurnStart):
            if not self._vad and self._segment is None:
                self._segment = segment = _Segment(self._expect)
                segment.origin_ms = now_ms
                self._waiting.append(segment)
                self._idle.clear()
                self.push(VADUserStartedSpeakingFrame(began_ms=now_ms))
        elif isinstance(result, EagerEnd):
            self.push(STTEagerTurnFrame(self._corrected(result.text), result.confidence))
        elif isinstance(result, Resumed):
            self.push(STTTurnResumedFrame())
        else:
            segment_, self._segment = (None, self._segment) if self._vad else (self._segment, None)
            if segment_ is not None:
                self.push(VADUserStoppedSpeakingFrame(ended_ms=now_ms))
                self._waiting.remove(segment_)
                self._tell(segment_)
            self.push(STTTurnEndedFrame(self._corrected(result.text), result.confidence))

    # -- what it costs, and how long it takes

    def _answered(self, segment: _Segment) -> None:
        took_s = asyncio.get_running_loop().time() - segment.asked_s
        self.emit(
            ProviderTTFB(
                vendor=self.vendor.name,
                service="stt",
                processor=self.name,
                model=self.options.model,
                ttfb_ms=max(0, round(took_s * 1000)),
            )
        )

    def _tell(self, segment: _Segment) -> None:
        super()._tell(segment)
        self._bill()

    def spend(self, audio_ms: float) -> None:
        """The vendor was sent so much audio."""
        self._billed_ms += audio_ms
        if self._billed_ms >= _BILLED_MS:
            self._bill()

    def count(self, tokens: Amounts) -> None:
        """The vendor says that it has counted so many tokens."""
        before = self._tokens
        self._tokens = Amounts(
            input_tokens=before.input_tokens + tokens.input_tokens,
            output_tokens=before.output_tokens + tokens.output_tokens,
            audio_input_tokens=before.audio_input_tokens + tokens.audio_input_tokens,
        )

    def _bill(self) -> None:
        audio_ms = round(self._billed_ms)
        if audio_ms <= 0 and not self._tokens.input_tokens:
            return
        self._billed_ms -= audio_ms
        tokens, self._tokens = self._tokens, Amounts()
        cost_usd, by = self._cost(audio_ms, tokens)
        self.emit(
            ProviderUsage(
                vendor=self.vendor.name,
                service="stt",
                processor=self.name,
                model=self.options.model,
                audio_ms=audio_ms,
                input_tokens=tokens.input_tokens,
                output_tokens=tokens.output_tokens,
                audio_tokens=tokens.audio_input_tokens,
                cost_usd=cost_usd,
                prices=by,
            )
        )

    def _cost(self, audio_ms: int, tokens: Amounts) -> tuple[float | None, str]:
        """What this has cost in US dollars, and by which prices; None and "" if that is not known."""
        per_hour = self.settings.usd_per_hour
        if per_hour is not None:
            return round(audio_ms / 3_600_000 * per_hour, 9), "STTSettings.usd_per_hour"
        vendor, model = self.vendor.name, self.options.model
        found = cost(vendor, model, Amounts(audio_ms=audio_ms))
        if found is None and tokens.input_tokens:
            found = cost(vendor, model, tokens)
        return (None, "") if found is None else (round(found, 9), prices().version)

    # -- when it fails

    async def _do(self, what: Any, which: Any) -> None:
        if self._refused is not None and not isinstance(which, ExpectFrame):
            if what == "finalize" and which in self._waiting:
                self._waiting.remove(which)
                which.clear()
                self._tell(which)
            return
        await super()._do(what, which)

    def _lost(self, error: Exception) -> None:
        if isinstance(error, VoiceframeError):
            self._refused = error  # as it was, it will be: nothing more is asked until the settings change
        super()._lost(error)

    def _give_up(self) -> None:
        session = self._stream
        if self._refused is not None or not isinstance(session, Session):
            super()._give_up()
            return
        # The connection's successor goes on with the segment that is under way.
        gone = [segment for segment in self._waiting if segment.over]
        for segment in gone:
            self._waiting.remove(segment)
            segment.clear()
            self._tell(segment)
        session.skip(present=bool(self._waiting))


class _Aliases:
    """What is to be read in place of what was written."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._right = {" ".join(wrong.lower().split()): right for wrong, right in aliases.items() if wrong.strip()}
        longest_first = sorted(self._right, key=len, reverse=True)
        words = (r"\s+".join(re.escape(word) for word in wrong.split()) for wrong in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE) if self._right else None

    def correct(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._right[" ".join(match.group().lower().split())], text)
