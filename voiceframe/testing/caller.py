"""A caller for tests: dials a bot, speaks, listens, interrupts, presses keys and hangs up."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, overload

from ..app import App, Bot
from ..call import Call, CallSettings
from ..engine import EngineSettings
from ..errors import TestKitError
from ..transports.base import Transport
from ..transports.text import TextTransport
from .record import CallTranscript

if TYPE_CHECKING:
    from ..audio import AudioFormat
    from ..dialling import LoopbackDialler
    from ..transports.loopback import LineConditions
    from .audio_caller import AudioCaller, Voice
    from .twilio_caller import TwilioCaller

__all__ = ["BaseCaller", "Caller", "caller_of", "dial"]

#: How long a polite caller waits for the bot to finish before speaking.
_PATIENCE_MS = 60_000
#: A silence inside a reply after which the caller takes it to be over.
_PAUSE_MS = 2_000
#: How long the work after a call may take.
_AFTERWARDS_MS = 60_000


class BaseCaller:
    """The other side of a call, however it speaks and hears."""

    call: Call

    def __init__(self, transport: Transport | None) -> None:
        #: What the call has come to so far.
        self.record = CallTranscript()
        self._line = transport  # of the bot; None where its endpoint makes that
        self._heard = ""  # since the caller last spoke
        self._reply = 0
        self._news = asyncio.Event()
        self._picked_up = asyncio.Event()

    async def dial(self, app: App, seed: int, **known: Any) -> None:
        """Call the bot of `app`. known: `from_`, `to`, `metadata`. Raises what `App.take()` raises."""
        assert self._line is not None
        self.call = await app.take(self._line, id=f"call_{seed:08}", seed=seed, **known)
        self.call.answered()
        await asyncio.sleep(0.02)  # a greeting has begun by now

    def answers(self, dialler: LoopbackDialler, number: str, *, rings_ms: int = 1_000) -> None:
        """Have this telephone number, and pick up the first call that `dialler` places to it; nobody does after that.

        `record` has what is in the log from then on. Raises `DialError` (`dial.number`).
        """
        line = self._line
        if line is None:
            raise TestKitError.of("test.no-line", caller=type(self).__name__)

        def picks_up(call: Call) -> None:
            dialler.register(number, TextTransport, outcome="no-answer")
            self.call = call
            if not any(event.call == call.id for event in self.record.events):
                call.log.subscribe(self.record.put)
            self._picked_up.set()

        dialler.register(number, lambda: line, rings_ms=rings_ms, on_answer=picks_up)

    async def is_called(self, *, within_ms: int = 60_000) -> Call:
        """Wait until a call has come to the number that `answers()` has given, and was picked up.

        Raises `TimeoutError` if none does in time.
        """
        async with asyncio.timeout(within_ms / 1000):
            await self._picked_up.wait()
        await asyncio.sleep(0.02)  # as in `dial()`
        return self.call

    # -- what the transport tells

    def _on_word(self, word: str, reply: int) -> None:
        if reply != self._reply:
            self._reply = reply
            word = f"\n{word}" if self._heard else word
        self._heard += word
        self._news.set()

    def _on_reply(self, reply: int, complete: bool) -> None:
        self._news.set()

    # -- what every caller does

    async def hears(self, pattern: str, *, within_ms: int = 10_000) -> re.Match[str]:
        """Wait until what was heard since the caller last spoke matches `pattern` (a regular expression, case ignored).

        Raises `TestKitError` (`test.not-heard`), an `AssertionError`, if it does not in time.
        """
        deadline = asyncio.get_running_loop().time() + within_ms / 1000
        while True:
            match = re.search(pattern, self._heard, re.IGNORECASE)
            if match:
                return match
            left_ms = round((deadline - asyncio.get_running_loop().time()) * 1000)
            if left_ms <= 0 or self._over:
                raise TestKitError.of(
                    "test.not-heard",
                    expected=repr(pattern),
                    within_ms=within_ms,
                    heard=repr(self._heard) if self._heard else "nothing",
                )
            await self._wait(min(left_ms, 250))

    async def waits(self, ms: int) -> None:
        """Do nothing for so long."""
        await asyncio.sleep(ms / 1000)

    async def hangs_up(self) -> str:
        """Leave. Returns the reason with which the call ended."""
        if not self.call.ended:
            self.call.hang_up()
        return await self.call.wait_ended()

    async def leaves(self) -> str:
        """Hang up, and wait for what is done after the call, such as the hooks of an assistant: for a minute at most.
        Returns the reason. `dial()` does so at the end of its block."""
        reason = await self.hangs_up()
        if hasattr(self, "call"):
            await asyncio.gather(*(wait(_AFTERWARDS_MS) for wait in self.call.afterwards))
        return reason

    async def hears_the_end(self, *, within_ms: int = 60_000) -> str:
        """Wait until the bot has ended the call. Returns the reason."""
        async with asyncio.timeout(within_ms / 1000):
            return await self.call.wait_ended()

    async def _wait(self, ms: int) -> bool:
        """Whether there was news within `ms`."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await self._news.wait()
        return self._news.is_set()

    @property
    def _over(self) -> bool:
        return self.call.ended

    def _check_running(self, what: str) -> None:
        if self._over or self.call.engine.ending:
            raise TestKitError.of("test.ended", reason=self.call.reason, what=what)

    def _forget(self) -> None:
        """The caller speaks: what is heard from now on is the answer."""
        self._heard = ""
        self._reply = 0


class Caller(BaseCaller):
    """A caller who types and reads. Made by `dial()`."""

    def __init__(self, words_per_minute: int) -> None:
        self._transport = TextTransport(
            words_per_minute=words_per_minute, on_word=self._on_word, on_reply=self._on_reply
        )
        super().__init__(self._transport)

    # -- what the caller does

    async def says(self, text: str) -> None:
        """Wait until the bot has finished, then say `text`."""
        await self.listens()
        self._speak(text)

    async def listens(self) -> str:
        """Wait until the bot has said all that it has to say, and return what was heard since the caller last spoke."""
        quiet_ms = 0
        async with asyncio.timeout(_PATIENCE_MS / 1000):
            while not self._over:
                if self.call.engine.dispatcher.backlog:
                    await asyncio.sleep(0)  # what waits there may be the turn, or the beginning of an answer
                    continue
                if self._transport.output().speaking or self.call.turns.pending is not None:
                    quiet_ms = 0
                elif quiet_ms >= _PAUSE_MS or all(reply.swept for reply in self.call.replies.open.values()):
                    break
                quiet_ms = 0 if await self._wait(250) else quiet_ms + 250
        return self._heard

    async def interrupts(self, text: str, *, after_ms: int = 400) -> None:
        """Wait until the bot has been speaking for `after_ms`, then say `text` over it.

        Raises `TestKitError` (`test.not-speaking`), an `AssertionError`, if it does not begin to speak in a minute.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE_MS / 1000
        while not self._transport.output().speaking:
            self._check_running("interrupt")
            if asyncio.get_running_loop().time() >= deadline:
                raise TestKitError.of("test.not-speaking", what=repr(text), waited_ms=_PATIENCE_MS)
            await self._wait(250)
        await asyncio.sleep(after_ms / 1000)
        self._speak(text)

    def interrupts_now(self, text: str) -> None:
        """Say `text` at once, whether or not the bot is speaking."""
        self._speak(text)

    def _speak(self, text: str) -> None:
        self._check_running(f"say {text!r}")
        self._forget()
        self._transport.type(text, source="speech")

    async def presses(self, digits: str) -> None:
        """Press keys."""
        self._check_running(f"press {digits}")
        self._transport.press(digits)
        await asyncio.sleep(0)


@overload
def dial(
    bot: Bot | str,
    *,
    via: Literal["text"] = "text",
    seed: int = 0,
    from_: str = "",
    to: str = "",
    metadata: Mapping[str, Any] | None = None,
    words_per_minute: int = 180,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[Caller]: ...
@overload
def dial(
    bot: Bot | str,
    *,
    via: Literal["audio"],
    seed: int = 0,
    from_: str = "",
    to: str = "",
    metadata: Mapping[str, Any] | None = None,
    voice: Voice | None = None,
    noise_dbfs: float | None = None,
    line: LineConditions | None = None,
    format: AudioFormat | None = None,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[AudioCaller]: ...
@overload
def dial(
    bot: Bot | str,
    *,
    via: Literal["twilio"],
    seed: int = 0,
    from_: str = "",
    to: str = "",
    voice: Voice | None = None,
    noise_dbfs: float | None = None,
    line: LineConditions | None = None,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[TwilioCaller]: ...
def dial(
    bot: Bot | str,
    *,
    via: Literal["text", "audio", "twilio"] = "text",
    seed: int = 0,
    from_: str = "",
    to: str = "",
    metadata: Mapping[str, Any] | None = None,
    words_per_minute: int = 180,
    voice: Voice | None = None,
    noise_dbfs: float | None = None,
    line: LineConditions | None = None,
    format: AudioFormat | None = None,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AbstractAsyncContextManager[Any]:
    """Call a bot. The caller hangs up when the block is left, if the call has not ended by then, and what an
    assistant does after the call is awaited.

    bot: a function of the call, or where to find one (`"examples/echo.py"`).
    via: `"text"` types and reads, at the pace of speech; `"audio"` speaks and listens over a line in memory; `"twilio"`
    does so as a caller whom Twilio puts through, with its webhook and its stream, in memory as well.
    from_, to, metadata: what the bot knows of the call; by way of Twilio its own numbers, and what Twilio says.
    words_per_minute: the pace, for text.
    voice, noise_dbfs, line: for audio and Twilio, see `AudioCaller`; Twilio's line may be `TwilioConditions`.
    format: for audio. Twilio has µ-law at 8 kHz only.
    """
    if via == "twilio":
        if metadata:
            raise TestKitError.of("test.metadata")
        from .twilio_caller import dialled

        return dialled(
            bot,
            seed=seed,
            from_=from_,
            to=to,
            voice=voice,
            noise_dbfs=noise_dbfs,
            line=line,
            settings=settings,
            engine_settings=engine_settings,
        )
    caller = caller_of(
        via, seed=seed, words_per_minute=words_per_minute, voice=voice, noise_dbfs=noise_dbfs, line=line, format=format
    )
    known = {"from_": from_, "to": to, "metadata": metadata}
    return _dialled(caller, bot, seed, known, settings, engine_settings)


def caller_of(via: str, *, seed: int = 0, words_per_minute: int = 180, **sound: Any) -> BaseCaller:
    """Somebody with a line of their own, of `"text"` or of `"audio"`. Raises `TestKitError` (`test.via`)."""
    if via == "text":
        return Caller(words_per_minute)
    if via == "audio":
        from .audio_caller import AudioCaller

        return AudioCaller(sound.pop("voice", None), seed=seed, **sound)
    raise TestKitError.of("test.via", via=via)


@contextlib.asynccontextmanager
async def _dialled(
    caller: BaseCaller,
    bot: Bot | str,
    seed: int,
    known: Mapping[str, Any],
    settings: CallSettings | None,
    engine_settings: EngineSettings | None,
) -> AsyncIterator[BaseCaller]:
    app = App(
        bot,
        store=None,
        sinks=[caller.record],
        call_settings=settings,
        engine_settings=engine_settings or EngineSettings(development=True),
    )
    await caller.dial(app, seed, **known)
    try:
        yield caller
    finally:
        await caller.leaves()
