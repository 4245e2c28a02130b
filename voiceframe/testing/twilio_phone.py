"""A telephone whose calls come to the bot by way of Twilio: asks the webhook, obeys it, and streams.

    (idle) ── dial() ──▶ webhook ──▶ <Connect> ──▶ stream ──▶ its action ──▶ …
                            │                        │ hang_up()     │
                            └─ <Reject>, <Hangup> ───┴───────────────┴──▶ (ended)

Names, fields and order are those of https://www.twilio.com/docs/voice/twiml and
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlencode, urljoin

from ..audio import PCMU_8K
from ..errors import TestKitError
from ..transports.loopback import TICK_MS, Far, LineConditions
from .network import HandshakeRefused, Network
from .twilio_stream import TwilioConditions, TwilioStream
from .twiml_reader import Connect, Hangup, Reject, Say, Verb, read

__all__ = ["Forgery", "Request", "TwilioPhone"]

#: How long Twilio takes to see that a stream is over and to ask what then. Its own number is not documented.
_NOTICE_MS: Final = 50
#: Streams that fail one behind the other, after which the call is given up: nothing would change.
_MOST_FAILURES: Final = 5
#: How long what Twilio itself says takes, for each character.
_CHARACTER_MS: Final = 60

_FORM: Final = "application/x-www-form-urlencoded; charset=UTF-8"
_NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What is not as Twilio would have it, for tests of what is refused. None leaves a thing as it is.

    webhook_signature, stream_signature: the header in place of the right one; "" for no such header.
    token: what stands in the stream's parameter `token`. call_id: the CallSid in the stream's start message.
    """

    webhook_signature: str | None = None
    stream_signature: str | None = None
    token: str | None = None
    call_id: str | None = None


class Request(NamedTuple):
    """What was asked and answered: the form and the document, or for a stream its parameters and nothing.

    status: 0 if there was no answer at all.
    """

    url: str
    fields: Mapping[str, str]
    status: int
    answer: str


class TwilioPhone:
    """A telephone that calls a number at Twilio. It is a `Phone`; the caller speaks and hears by `far`.

    network: the way to the bot. webhook: the URL that Twilio asks, as it was set there. auth_token: what it signs with.
    conditions: how bad the line is. forgery: what is wrong about it besides. seed: for the ids of the call, and the
    streams; `conditions.seed` for the line. fields: further fields of the webhook.

    One telephone makes one call. Everything is on the running event loop.
    """

    def __init__(
        self,
        network: Network,
        webhook: str,
        auth_token: str,
        *,
        from_: str = "+14155550101",
        to: str = "+14155550199",
        conditions: LineConditions | None = None,
        forgery: Forgery | None = None,
        seed: int = 0,
        fields: Mapping[str, str] = _NOTHING,
        keep: bool = False,
    ) -> None:
        self._network = network
        self._webhook = webhook
        self._auth_token = auth_token
        self._forgery = forgery or Forgery()
        self._conditions = conditions or LineConditions()
        self.far = Far(PCMU_8K)
        ids = random.Random(f"twilio {seed}")
        #: Twilio's ids of the account and of the call.
        self.account = "AC" + _hex(ids)
        self.call_id = "CA" + _hex(ids)
        self._ids = ids
        self._line = random.Random(self._conditions.seed)
        self._losses = random.Random(self._conditions.seed)
        self._fields = {
            "CallSid": self.call_id,
            "AccountSid": self.account,
            "From": from_,
            "To": to,
            "Caller": from_,
            "Called": to,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "ApiVersion": "2010-04-01",
            **{f"{who}{what}": "" for who in ("From", "To", "Caller", "Called") for what in ("City", "State", "Zip")},
            **{f"{who}Country": "US" for who in ("From", "To", "Caller", "Called")},
            **fields,
        }
        self._keep = keep
        #: All that Twilio has asked.
        self.requests: list[Request] = []
        #: The streams of the call, the last one at the end.
        self.streams: list[TwilioStream] = []
        #: How each of them ended; see `TwilioStream.run()`.
        self.stream_ends: list[str] = []
        #: What Twilio itself has said, by `<Say>`.
        self.said: list[str] = []
        #: How many of the caller's pieces were lost.
        self.lost = 0
        #: Loop time at the beginning of the call; what `began_ms` counts from. None: the first tick.
        self.origin: float | None = None
        self._loop = asyncio.get_running_loop()
        self._stream: TwilioStream | None = None  # the one that runs
        self._began: float | None = None
        self._ticks = 0
        self._period = TICK_MS / 1000 / (1 + self._conditions.clock_ppm / 1e6)
        self._timers: list[asyncio.TimerHandle] = []
        self._tick_timer: asyncio.TimerHandle | None = None
        self._spoken: bytes | None = None  # what the caller has said since the last tick
        self._left = asyncio.Event()  # the caller has hung up
        self._attached = asyncio.Event()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    # -- what the caller does

    def dial(self) -> None:
        """Call. What comes of it is told by `wait_ended()`."""
        self._task = self._loop.create_task(self._run())

    def press(self, digits: str) -> None:
        """Press keys. Without a stream nobody hears of them."""
        for digit in digits:
            if self._stream is not None:
                self._stream.press(digit)

    def hang_up(self) -> None:
        """Leave: Twilio says so on the stream and closes it."""
        if not self._left.is_set():
            self._left.set()
            if self._stream is not None:
                self._stream.stop()

    def lose(self, reason: str = "lost", *, silently: bool = False) -> None:
        """The TCP connection of the stream breaks. Twilio asks what to do then.

        silently: the bot's side is not told, as when something on the way has forgotten the connection.
        """
        if self._stream is not None:
            self._stream.lose(silently=silently)

    def stall(self, ms: int) -> None:
        """Nothing gets through between Twilio and the bot for so long."""
        if self._stream is not None:
            self._stream.stall(ms)

    def stop_reading(self) -> None:
        """Twilio takes nothing more of what the bot sends, on the stream that runs now."""
        if self._stream is not None:
            self._stream.reads(False)

    def go_on_reading(self) -> None:
        """Twilio reads again."""
        if self._stream is not None:
            self._stream.reads(True)

    # -- what is known

    @property
    def conditions(self) -> LineConditions:
        return self._conditions

    @property
    def began_ms(self) -> int:
        """When the first tick was, in the call's time; -1 before."""
        if self._began is None:
            return -1
        return 0 if self.origin is None else round((self._began - self.origin) * 1000)

    @property
    def attached(self) -> bool:
        """Whether a stream runs."""
        return self._stream is not None

    async def wait_attached(self) -> None:
        """Wait until the first stream runs."""
        await self._attached.wait()

    @property
    def ended(self) -> bool:
        """Whether the call is over at Twilio."""
        return self._ended.done()

    @property
    def reason(self) -> str:
        """Why it is over, see `wait_ended()`; empty while it is not."""
        return self._ended.result() if self._ended.done() and self._ended.exception() is None else ""

    async def wait_ended(self) -> str:
        """Wait until the call is over at Twilio.

        Returns why: "hangup" by the caller, "completed" by the bot's side, "busy" or "rejected" when it was not taken,
        "failed" when the webhook was not answered with 200 or streams cannot be opened. Raises `TestKitError`
        (`test.twiml`, `test.message`) when the bot's side has said what Twilio does not understand.
        """
        return await asyncio.shield(self._ended)

    async def aclose(self) -> None:
        """End everything, whatever its state."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()  # it was looked at
        self._stop()

    # -- what Twilio does

    async def _run(self) -> None:
        try:
            reason = await self._call()
        except TestKitError as error:
            self._ended.set_exception(error)
            self._ended.exception()  # told by who waits for it; nobody must
        except asyncio.CancelledError:
            self._ended.cancel()
            raise
        else:
            self._ended.set_result(reason)
        finally:
            self._stop()

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None
        for stream in self.streams:
            stream.release()

    async def _call(self) -> str:
        """Ask, obey, and so on. Returns why the call is over."""
        url, status, failures = self._webhook, "ringing", 0
        while True:
            verbs = await self._ask(url, status)
            if verbs is None:
                return "failed"
            if self._left.is_set():
                return "hangup"
            connect: Connect | None = None
            for verb in verbs:
                if isinstance(verb, Reject):
                    return verb.reason if status == "ringing" else "completed"
                status = "in-progress"
                if isinstance(verb, Hangup):
                    return "completed"
                if isinstance(verb, Say):
                    await self._say(verb.text)
                elif isinstance(verb, Connect):
                    connect = verb
                    ended = await self._connect(verb)
                    self.stream_ends.append(ended)
                    failures = failures + 1 if ended == "not opened" else 0
                    if verb.action and not self._left.is_set():
                        break
                if self._left.is_set():
                    return "hangup"
            if self._left.is_set():
                return "hangup"
            if connect is None or not connect.action:
                return "completed"  # there is nothing more to do
            if failures >= _MOST_FAILURES:
                return "failed"
            url = urljoin(url, connect.action)
            await self._pause(_NOTICE_MS)

    async def _ask(self, url: str, status: str) -> list[Verb] | None:
        fields = {**self._fields, "CallStatus": status}
        body = urlencode(fields).encode("ascii")
        headers = [
            ("User-Agent", "TwilioProxy/1.1"),
            ("Accept", "*/*"),
            ("Content-Type", _FORM),
            *self._signature(url, body, _FORM, self._forgery.webhook_signature),
        ]
        await self._pause(self._conditions.network_ms)
        try:
            answer = await self._network.post(url, headers, body)
        except OSError:
            self.requests.append(Request(url, fields, 0, ""))
            return None
        await self._pause(self._conditions.network_ms)
        self.requests.append(Request(url, fields, answer.status, answer.body.decode("utf-8", "replace")))
        return read(answer.body, answer.content_type) if answer.status == 200 else None

    def _signature(self, url: str, body: bytes, content_type: str, forged: str | None) -> list[tuple[str, str]]:
        from ..transports.twilio import signature

        value = signature.sign(url, body, content_type, self._auth_token) if forged is None else forged
        return [(signature.HEADER, value)] if value else []

    async def _say(self, text: str) -> None:
        self.said.append(text)
        await self._pause(len(text) * _CHARACTER_MS)

    async def _connect(self, verb: Connect) -> str:
        """Stream until that is over. Returns why."""
        forgery = self._forgery
        parameters = dict(verb.parameters)
        if forgery.token is not None:
            parameters["token"] = forgery.token
        headers = [("User-Agent", "Twilio.TmeWs/1.0"), *self._signature(verb.url, b"", "", forgery.stream_signature)]
        await self._pause(self._conditions.network_ms)
        try:
            socket = await self._network.open(verb.url, headers)
        except OSError as error:
            refused = error.status if isinstance(error, HandshakeRefused) else 0
            self.requests.append(Request(verb.url, parameters, refused, ""))
            return "not opened"
        self.requests.append(Request(verb.url, parameters, 101, ""))
        if self._left.is_set():
            socket.abort()
            return "stopped"
        stream = TwilioStream(
            socket,
            stream_id="MZ" + _hex(self._ids),
            call_id=self.call_id if forgery.call_id is None else forgery.call_id,
            account=self.account,
            parameters=parameters,
            silence=self.far.silence,
            conditions=self._conditions,
            rng=self._line,
        )
        stream.keep = self._keep
        self.streams.append(stream)
        self._stream = stream
        self._attached.set()
        self._start_clock()
        try:
            ended = await stream.run()
        finally:
            self._stream = None
        if stream.fault is not None:
            raise stream.fault
        return ended

    async def _pause(self, ms: int) -> None:
        """For so long, but not once the caller has left."""
        if ms and not self._left.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ms / 1000):
                    await self._left.wait()

    # -- the clock

    def _start_clock(self) -> None:
        if self._began is not None:
            return
        self._began = self._loop.time()
        conditions = self._conditions
        if isinstance(conditions, TwilioConditions):
            for at_ms, for_ms in conditions.stalls:
                self._timers.append(self._loop.call_at(self._began + at_ms / 1000, self.stall, for_ms))
            for at_ms in conditions.losses_ms:
                self._timers.append(self._loop.call_at(self._began + at_ms / 1000, self.lose))
        self._arm()

    def _arm(self) -> None:
        # Counted from the beginning: neither the loop's delays nor rounding add up.
        assert self._began is not None
        self._tick_timer = self._loop.call_at(self._began + self._ticks * self._period, self._tick)

    def _tick(self) -> None:
        assert self._began is not None
        now = self._loop.time() + 1e-6  # a timer may be a hair early
        self._tick_timer = None
        try:
            # A loop that was held up has missed some: they are all served now.
            while self._began + self._ticks * self._period <= now and not self._ended.done():
                self._ticks += 1
                self._serve()
        finally:
            if not self._ended.done():
                self._arm()

    def _serve(self) -> None:
        spoken = self._spoken
        self._spoken = self.far.source()  # what is said in the 20 ms that begin now goes at their end
        stream = self._stream
        if spoken is not None:
            lost = self._losses.random() < self._conditions.loss
            self.lost += lost
            if stream is not None:
                stream.media(self.far.silence if lost else spoken)
        heard = stream.playback.next() if stream is not None else self.far.silence
        if self.far.on_audio is not None:
            self.far.on_audio(heard)


def _hex(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"
