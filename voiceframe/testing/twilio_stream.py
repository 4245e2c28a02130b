"""One stream of Twilio's: the messages in both directions, the sound that waits to be played, and the way between.

    the phone ── media, dtmf ──▶ late, in order ──▶ the bot
    playback ◀── media, mark, clear ◀── late, in order ◀── the bot

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import TestKitError
from ..transports.loopback import LineConditions
from .network import Socket
from .playback import Playback

__all__ = ["Path", "TwilioConditions", "TwilioStream"]

#: Messages that a bot has not taken, after which Twilio gives up: 10 s of sound. Its own number is not documented.
_MOST: Final = 500


@dataclass(frozen=True, kw_only=True)
class TwilioConditions(LineConditions):
    """How bad the line is. The same seed makes the same line.

    network_ms, jitter_ms: of the messages between Twilio and the bot, each way; they keep their order.
    loss: which part of the caller's pieces Twilio never gets, from 0 to 1; it sends silence for them. Between Twilio
    and the bot nothing is lost but the connection.
    clock_ppm: by how many millionths Twilio's clock is fast.
    stalls: moments at which nothing gets through any more, and for how long: `((at_ms, for_ms), ...)`; then all of it
    comes at once. losses_ms: moments at which the connection breaks. Both in milliseconds since the first stream began.
    """

    stalls: tuple[tuple[int, int], ...] = ()
    losses_ms: tuple[int, ...] = ()


class Path:
    """One direction of the way: what is put in comes out in the same order, later.

    conditions: `network_ms` for everything, `jitter_ms` at most for each by itself. rng: for the latter.
    """

    def __init__(self, deliver: Callable[[Any], None], conditions: LineConditions, rng: random.Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._network_s = conditions.network_ms / 1000
        self._jitter_s = conditions.jitter_ms / 1000
        self._rng = rng
        self._last = 0.0  # when the last one is due; what comes behind it is not earlier
        self._waiting: deque[tuple[float, Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: Any) -> None:
        """Send this."""
        now = self._loop.time()
        # Drawn whether or not it is needed, so that the same seed has the same line.
        due = self._last = max(now + self._network_s + self._rng.random() * self._jitter_s, self._last)
        if due <= now and not self._waiting:
            self._deliver(item)
            return
        self._waiting.append((due, item))
        self._arm()

    def stall(self, ms: int) -> None:
        """Let nothing through for so long; then all that waits comes at once."""
        until = self._loop.time() + ms / 1000
        self._last = max(self._last, until)
        self._waiting = deque((max(due, until), item) for due, item in self._waiting)
        self._disarm()
        self._arm()

    def close(self) -> None:
        """What is under way is lost."""
        self._waiting.clear()
        self._disarm()

    def _arm(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._come)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _come(self) -> None:
        self._timer = None
        now = self._loop.time() + 1e-6  # a timer may be a hair early
        while self._waiting and self._waiting[0][0] <= now:
            self._deliver(self._waiting.popleft()[1])
        self._arm()


class TwilioStream:
    """A stream on an open socket. `await run()` until it is over.

    call_id, account: what the start message says. parameters: its customParameters.
    """

    def __init__(
        self,
        socket: Socket,
        *,
        stream_id: str,
        call_id: str,
        account: str,
        parameters: Mapping[str, str],
        silence: bytes,
        conditions: LineConditions,
        rng: random.Random,
    ) -> None:
        self.stream_id = stream_id
        self.playback = Playback(silence, self._marked)
        #: What has gone out and has come in, in order and as it stood on the wire, if `keep` is set.
        self.sent: list[str] = []
        self.came: list[str] = []
        self.keep = False
        self._socket = socket
        self._call_id = call_id
        self._account = account
        self._parameters = dict(parameters)
        self._sequence = 0
        self._chunk = 0
        self._piece_ms = len(silence) // 8
        self._id = json.dumps(stream_id)
        self._going = Path(self._leave, conditions, random.Random(rng.getrandbits(64)))
        self._coming = Path(self._arrive, conditions, random.Random(rng.getrandbits(64)))
        self._outbox: deque[str | None] = deque()  # None closes the socket
        self._news = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._silently = False  # it was lost so
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        #: What was wrong about a message of the bot.
        self.fault: TestKitError | None = None

    # -- what the phone does

    async def run(self) -> str:
        """Carry messages until the stream is over.

        Returns why: "closed" by the bot, "lost", "stopped" by the caller, "unread" if the bot does not read, "refused"
        for a message that Twilio does not understand.
        """
        self._begin()
        loop = asyncio.get_running_loop()
        tasks = (loop.create_task(self._write()), loop.create_task(self._read()))
        try:
            return await self._over
        finally:
            self._going.close()
            self._coming.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._silently:
                self._socket.abort()

    def media(self, payload: bytes) -> None:
        """The caller's next 20 ms."""
        self._chunk += 1
        audio = base64.b64encode(payload).decode("ascii")
        at_ms = (self._chunk - 1) * self._piece_ms
        self._message(
            "media", f'{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{at_ms}","payload":"{audio}"}}'
        )

    def press(self, digit: str) -> None:
        """The caller has pressed a key."""
        self._message("dtmf", _json({"track": "inbound_track", "digit": digit}))

    def stop(self) -> None:
        """The caller has hung up: say so, and close."""
        self._message("stop", _json({"accountSid": self._account, "callSid": self._call_id}))
        self._going.put(None)

    def lose(self, *, silently: bool = False) -> None:
        """The TCP connection breaks. silently: the bot's side is not told, and learns it from silence only."""
        self._silently = silently
        if not silently:
            self._socket.abort()
        self._end("lost")

    def release(self) -> None:
        """Let go of the socket, whatever its state."""
        self._socket.abort()

    def stall(self, ms: int) -> None:
        """Let nothing through in either direction for so long; then all of it comes at once."""
        self._going.stall(ms)
        self._coming.stall(ms)

    def reads(self, does: bool) -> None:
        """Whether Twilio takes what the bot sends."""
        if does:
            self._reads.set()
        else:
            self._reads.clear()

    # -- to the bot

    def _begin(self) -> None:
        self._send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "accountSid": self._account,
            "streamSid": self.stream_id,
            "callSid": self._call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        self._message("start", _json(start))

    def _marked(self, name: str) -> None:
        self._message("mark", _json({"name": name}))

    def _message(self, event: str, body: str) -> None:
        self._sequence += 1
        self._send(f'{{"event":"{event}","sequenceNumber":"{self._sequence}","streamSid":{self._id},"{event}":{body}}}')

    def _send(self, text: str) -> None:
        if not self._over.done():
            self._going.put(text)

    def _leave(self, text: str | None) -> None:
        self._outbox.append(text)
        self._news.set()
        if len(self._outbox) > _MOST:
            self._socket.abort()
            self._end("unread")

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    text = self._outbox.popleft()
                    if text is None:
                        await self._socket.close()
                        self._end("stopped")
                        return
                    if self.keep:
                        self.sent.append(text)
                    await self._socket.send(text)
                self._news.clear()
                await self._news.wait()
        except ConnectionError:  # whoever reads hears of it, unless he does not read
            if not self._reads.is_set():
                self._end("lost")

    # -- from the bot

    async def _read(self) -> None:
        while True:
            await self._reads.wait()
            text = await self._socket.receive()
            self._coming.put(text)
            if text is None:
                return

    def _arrive(self, text: str | None) -> None:
        if text is None:
            self._end("closed" if self._socket.closed_with != 1006 else "lost")
            return
        if self._over.done():
            return
        if self.keep:
            self.came.append(text)
        try:
            self._take(text)
        except TestKitError as error:
            self.fault = error
            self._socket.abort()
            self._end("refused")

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text)
            event, stream_id = message["event"], message["streamSid"]
            if stream_id != self.stream_id:
                raise _wrong(f"it is for stream {stream_id!r}, and this is {self.stream_id}")
            if event == "media":
                self.playback.add(base64.b64decode(message["media"]["payload"], validate=True))
            elif event == "mark":
                self.playback.mark(_text(message["mark"]["name"]))
            elif event == "clear":
                self.playback.clear()
            else:
                raise _wrong(f"the event {event!r} is not known")
        except (ValueError, TypeError, LookupError, binascii.Error) as error:
            raise _wrong(f"{error!r} in {text[:80]!r}") from None

    def _end(self, why: str) -> None:
        if not self._over.done():
            self._over.set_result(why)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _wrong(reason: str) -> TestKitError:
    return TestKitError.of("test.message", reason=reason)
