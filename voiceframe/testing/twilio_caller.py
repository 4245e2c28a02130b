"""Callers who come by way of Twilio: `dial(bot, via="twilio")`, and the exchange that lets them through to a bot.

    async with TwilioExchange(bot) as exchange:         # in memory, also on virtual time
        caller = exchange.caller(seed=1)
        await caller.connects()
        await caller.says("I need an appointment")

The bot is called as Twilio would call it: webhook, signatures, token, stream and all, byte for byte. With `real=True`
it is served on a port of this machine and called over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from ..app import App, Bot, Limits
from ..call import Call, CallSettings
from ..engine import EngineSettings
from ..errors import CallEnded, Reject, TestKitError
from ..events import Feed, LoggedEvent
from ..transports.base import Transport
from ..transports.loopback import LineConditions
from .audio_caller import AudioCaller, Voice
from .memory_asgi import MemoryNetwork
from .network import Network, SocketNetwork
from .twilio_phone import Forgery, TwilioPhone

if TYPE_CHECKING:
    from ..server import Gateway, ServerSettings
    from ..store import Store
    from ..transports.media import MediaSettings, MediaTransport
    from ..transports.twilio import Twilio, TwilioSettings

__all__ = ["TwilioCaller", "TwilioExchange"]

#: Where the bots of tests are known to be; nothing is looked up there.
PUBLIC_URL: Final = "https://voice.test"
#: What signs there: a token such as an account has, and nobody's.
AUTH_TOKEN: Final = "0123456789abcdef0123456789abcdef"

#: How long it may take until a call is taken: as long as Twilio waits for a webhook, and then for a stream.
_CONNECT_MS: Final = 30_000


class TwilioCaller(AudioCaller):
    """A caller over audio who comes by way of Twilio. Made by `dial(bot, via="twilio")`, or `TwilioExchange.caller()`.

    phone: what to speak into. voice, noise_dbfs, seed: see `AudioCaller`.

    Speaks and listens as any other; `phone` has what only this one can do: `lose()`, `stall()`, `stop_reading()`, and
    what Twilio has asked and was answered. For a bot in another process, whose `call` cannot be had, words are not
    heard and `record` is empty.
    """

    phone: TwilioPhone

    def __init__(
        self, phone: TwilioPhone, voice: Voice | None = None, *, noise_dbfs: float | None = None, seed: int = 0
    ) -> None:
        super().__init__(voice, noise_dbfs=noise_dbfs, seed=seed, phone=phone)
        self.seed = seed
        self._taken: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._answered = asyncio.Event()
        self._knows_call = False

    async def connects(self, *, within_ms: int = _CONNECT_MS) -> None:
        """Dial, and wait until the bot has taken the call.

        Raises what the bot has raised, `Reject` as well, and `TestKitError` (`test.refused`) when the call was not let
        through to it; `phone.reason` has Twilio's word for that.
        """
        phone = self.phone
        phone.dial()
        ended = asyncio.ensure_future(phone.wait_ended())
        try:
            async with asyncio.timeout(within_ms / 1000):
                begins = asyncio.ensure_future(self._answered.wait() if self._knows_call else phone.wait_attached())
                await asyncio.wait((ended, begins), return_when=asyncio.FIRST_COMPLETED)
                begins.cancel()
        except TimeoutError:
            raise TestKitError.of("test.refused", reason=f"nothing has come of it within {within_ms} ms") from None
        finally:
            ended.cancel()
        if self._taken.done():
            self._taken.result()
        if phone.ended and not self._answered.is_set():
            reason = await phone.wait_ended()
            said = f'; Twilio said "{phone.said[-1]}"' if phone.said else ""
            asked = "".join(f"; the answer of {request.url} was {request.status}" for request in phone.requests[-1:])
            raise TestKitError.of("test.refused", reason=reason + said + asked)
        await asyncio.sleep(0.02)  # a greeting has begun by now

    async def hangs_up(self) -> str:
        """Leave. Returns the reason with which the call ended.

        Raises `TestKitError` (`test.message`, `test.twiml`) if the bot's side has said what Twilio does not understand.
        """
        self.phone.hang_up()
        reason = await self.phone.wait_ended()
        return await self.call.wait_ended() if self._has_call else reason

    async def hears_the_end(self, *, within_ms: int = 60_000) -> str:
        """Wait until the bot has ended the call, and so has Twilio. Returns the reason."""
        async with asyncio.timeout(within_ms / 1000):
            reason = await self.phone.wait_ended()
            return await self.call.wait_ended() if self._has_call else reason

    # -- what the exchange tells

    def expects_call(self) -> None:
        """The bot is in this process: `taken()` or `not_taken()` will tell, and `answered()`."""
        self._knows_call = True

    def answered(self) -> None:
        """The call has its stream, and has begun."""
        self._answered.set()

    def taken(self, call: Call) -> None:
        """The bot was made, and it rings."""
        self.call = call
        # The beginning of the call's time, by the loop's.
        self.phone.origin = call.engine.loop.time() - call.clock.at_ms() / 1000
        if not self._taken.done():
            self._taken.set_result(call)

    def not_taken(self, error: BaseException) -> None:
        """The bot has raised this."""
        if not self._taken.done():
            self._taken.set_exception(error)
            self._taken.exception()  # told by `connects()`; if nobody waits there, nobody must

    def heard_word(self, word: str, reply: int) -> None:
        """A word of the bot has been heard."""
        self._on_word(word, reply)

    def heard_reply(self, reply: int, complete: bool) -> None:
        """A reply of the bot is over."""
        self._on_reply(reply, complete)

    # -- what the base asks

    @property
    def _has_call(self) -> bool:
        return self._taken.done() and self._taken.exception() is None

    @property
    def _over(self) -> bool:
        return self.phone.ended or (self._has_call and self.call.ended)

    def _check_running(self, what: str) -> None:
        if self._over or (self._has_call and self.call.engine.ending):
            reason = self.call.reason if self._has_call else ""
            raise TestKitError.of("test.ended", reason=reason or self.phone.reason, what=what)


class TwilioExchange:
    """A bot behind Twilio's endpoint and a gateway, and those who call it.

    settings, engine_settings, limits, store, sinks: of the app. media, refusal: of the endpoint, see `Twilio`.
    twilio, server: settings in place of those of the test kit, which have a public URL and a token of nobody.
    real: serve it on a port of this machine, and call over real sockets at real speed. Otherwise in memory, at the
    speed of the loop.

    Raises, on entering, what opening the endpoint raises, and `MissingExtra`. On leaving, what the ASGI application has
    raised, if that was not raised before.
    """

    def __init__(
        self,
        bot: Bot | str,
        *,
        settings: CallSettings | None = None,
        engine_settings: EngineSettings | None = None,
        limits: Limits | None = None,
        store: Store | str | None = None,
        sinks: Sequence[Feed] = (),
        media: MediaSettings | None = None,
        refusal: str = "",
        twilio: TwilioSettings | None = None,
        server: ServerSettings | None = None,
        real: bool = False,
    ) -> None:
        from ..server import Gateway, ServerSettings
        from ..transports.twilio import TwilioSettings

        #: By Twilio's id of the call.
        self.callers: dict[str, TwilioCaller] = {}
        self._records: dict[str, TwilioCaller] = {}  # by our id of the call
        self.twilio_settings = twilio or TwilioSettings(auth_token=AUTH_TOKEN)
        self.endpoint: Twilio = _endpoint(self, self.twilio_settings, media, refusal)
        self.app: App = _App(
            self,
            bot,
            self.endpoint,
            store=store,
            limits=limits or Limits(),
            sinks=(_Records(self._records), *sinks),
            call_settings=settings,
            engine_settings=engine_settings or EngineSettings(development=True),
        )
        self.gateway: Gateway = Gateway(
            self.app, server or ServerSettings(port=0, public_url=PUBLIC_URL, rehearse=False)
        )
        #: The way to the bot, once it is open.
        self.network: Network = MemoryNetwork(self.gateway, self.gateway.public_url)
        self._memory = None if real else self.network
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[int] | None = None

    @property
    def webhook(self) -> str:
        """The URL that would be pasted at Twilio."""
        return self.gateway.public_url + self.twilio_settings.webhook_path

    def caller(
        self,
        *,
        seed: int = 0,
        voice: Voice | None = None,
        noise_dbfs: float | None = None,
        line: LineConditions | None = None,
        forgery: Forgery | None = None,
        fields: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> TwilioCaller:
        """Somebody who can call this bot, once: `await caller.connects()`. The call has the id `call_<seed>`.

        line: `LineConditions`, or `TwilioConditions` for stalls and losses of the connection. forgery: what is wrong.
        fields: more of the webhook's form. keep: keep all messages, see `TwilioStream`.
        """
        phone = TwilioPhone(
            self.network,
            self.webhook,
            self.twilio_settings.auth_token,
            conditions=line,
            forgery=forgery,
            seed=seed,
            fields=fields or {},
            keep=keep,
        )
        caller = TwilioCaller(phone, voice, noise_dbfs=noise_dbfs, seed=seed)
        caller.expects_call()
        self.callers[phone.call_id] = self._records[_id(caller)] = caller
        return caller

    async def __aenter__(self) -> Self:
        if self._memory is not None:
            await self.gateway.enter()
            return self
        from ..server import serve

        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.get_running_loop().create_task(
            serve(self.gateway, started=port.set_result, stop=self._stop)
        )
        await asyncio.wait((self._serving, port), return_when=asyncio.FIRST_COMPLETED)
        if not port.done():
            self._serving.result()
            raise TestKitError.of("test.refused", reason="the gateway cannot listen")
        self.network = SocketNetwork(self.gateway.public_url, f"127.0.0.1:{port.result()}")
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for caller in self.callers.values():
            await caller.phone.aclose()
        for call in list(self.app.calls.values()):
            with contextlib.suppress(CallEnded):  # its bot is being made: it ends when that is so
                call.end("stopped", after="now")
        if self._serving is not None:
            self._stop.set()
            await self._serving
            return
        await self.app.drain()
        await self.app.aclose()
        if isinstance(self._memory, MemoryNetwork):
            await self._memory.aclose()
            if error is None and self._memory.errors:
                raise self._memory.errors[0]


class _App(App):
    """Tells callers of the calls that were taken for them."""

    def __init__(self, exchange: TwilioExchange, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._exchange = exchange

    async def take(
        self,
        transport: Transport,
        *,
        direction: Literal["inbound", "outbound"] = "inbound",
        from_: str = "",
        to: str = "",
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        seed: int | None = None,
        ringing: bool = False,
    ) -> Call:
        caller = self._exchange.callers.get((metadata or {}).get("call_sid", ""))
        if caller is not None:
            id, seed = _id(caller), caller.seed
        try:
            call = await super().take(
                transport,
                direction=direction,
                from_=from_,
                to=to,
                metadata=metadata,
                id=id,
                seed=seed,
                ringing=ringing,
            )
        except (Reject, Exception) as error:
            if caller is not None:
                caller.not_taken(error)
            raise
        if caller is not None:
            caller.taken(call)
        return call


class _Records:
    """Gives each caller the events of its call."""

    def __init__(self, callers: Mapping[str, TwilioCaller]) -> None:
        self._callers = callers

    def put(self, event: LoggedEvent) -> None:
        caller = self._callers.get(event.call)
        if caller is not None:
            caller.record.put(event)
            if event.kind == "call.answered":
                caller.answered()

    async def drained(self, timeout_ms: int = 0) -> bool:
        return True


def _id(caller: TwilioCaller) -> str:
    return f"call_{caller.seed:08}"


def _endpoint(exchange: TwilioExchange, settings: TwilioSettings, media: MediaSettings | None, refusal: str) -> Twilio:
    from ..transports.twilio import Twilio

    class Endpoint(Twilio):
        """Tells callers what they hear, word by word."""

        def line(self, call_id: str, **listeners: Any) -> MediaTransport:
            caller = exchange.callers.get(call_id)
            if caller is None:
                return super().line(call_id, **listeners)
            return super().line(call_id, on_word=caller.heard_word, on_reply=caller.heard_reply)

    return Endpoint(settings, media=media, refusal=refusal)


@contextlib.asynccontextmanager
async def dialled(
    bot: Bot | str,
    *,
    seed: int,
    from_: str,
    to: str,
    voice: Voice | None,
    noise_dbfs: float | None,
    line: LineConditions | None,
    settings: CallSettings | None,
    engine_settings: EngineSettings | None,
) -> AsyncIterator[TwilioCaller]:
    """A call that has been taken; the caller hangs up in the end."""
    async with TwilioExchange(bot, settings=settings, engine_settings=engine_settings) as exchange:
        numbers = {"From": from_, "Caller": from_, "To": to, "Called": to}
        fields = {name: number for name, number in numbers.items() if number}
        caller = exchange.caller(seed=seed, voice=voice, noise_dbfs=noise_dbfs, line=line, fields=fields)
        await caller.connects()
        try:
            yield caller
        finally:
            await caller.leaves()
