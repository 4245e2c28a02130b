"""The line of a carrier that sends and takes audio as messages on a socket: Twilio Media Streams and its like.

    socket ──▶ received() ──▶ InputAudioFrame, InputDTMFFrame ──▶ the pipeline
    socket ◀── send(), 200 ms ahead of the clock ◀── PacedOutput ◀── the output

The transport belongs to the call, a socket to the carrier: when one is lost the call goes on for a while, and another
one may be attached. The serializer knows the messages, the socket knows the bytes, and neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable

from ..audio import AudioFormat, AudioStream
from ..call import Call, Connection, Leg, Line
from ..clock import ticker
from ..frames import EndFrame, InputAudioFrame, InputDTMFFrame, StartFrame
from ..processor import Processor, handles
from ..serializers.base import Outgoing
from ..settings import Settings, setting
from .base import Transport
from .output import OnWord
from .paced import PIECE_MS, PacedOutput
from .sockets import NORMAL, POLICY, TRY_AGAIN, MediaSocket

__all__ = ["MediaSettings", "MediaTransport"]


class MediaSettings(Settings, prefix="MEDIA"):
    """How a carrier's line is used."""

    ahead_ms: int = setting(default=200, doc="how far sound is sent ahead of the clock", ge=20, le=2_000)
    mark_wait_ms: int = setting(
        default=1_000,
        doc="how long a mark is waited for beyond its time, before the clock is believed",
        ge=0,
    )
    silent_ms: int = setting(
        default=5_000, doc="time without any message after which a connection is taken to be dead", ge=500
    )
    slow_bytes: int = setting(
        default=65_536, doc="bytes that the peer has not taken, after which its connection is given up", ge=4_096
    )
    burst_ms: int = setting(
        default=5_000, doc="how much more sound than time a connection may bring before it is given up", ge=500
    )
    reconnect_ms: int = setting(default=5_000, doc="how long a call without a connection waits for another one", ge=0)


class _Attached:
    """A socket with the messages of its stream: what the output sends to."""

    __slots__ = ("began_at", "brought", "connection", "heard_at", "outgoing", "socket")

    def __init__(self, socket: MediaSocket, outgoing: Outgoing, connection: Connection, now: float) -> None:
        self.socket = socket
        self.outgoing = outgoing
        self.connection = connection
        self.began_at = self.heard_at = now
        self.brought = 0  # bytes of sound

    def send_audio(self, data: bytes) -> None:
        self.socket.send(self.outgoing.audio(data))

    def send_mark(self, name: str) -> None:
        self.socket.send(self.outgoing.mark(name))

    def send_clear(self) -> None:
        self.socket.send(self.outgoing.clear())


class MediaTransport(Transport):
    """One call's line to a carrier.

    carrier, format: its name, and the encoding of both directions. abilities: see `Line`.
    on_word, on_reply: see `AudioOutput`. Keys of the bot go into the sound as tones.

    Everything is called on the call's event loop.
    """

    def __init__(
        self,
        carrier: str,
        format: AudioFormat,
        *,
        leg: str,
        abilities: frozenset[str] = frozenset({"dtmf"}),
        settings: MediaSettings | None = None,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
    ) -> None:
        self.format = format
        self.settings = settings or MediaSettings.load()
        self._line = Line(carrier, abilities)
        self._leg_id = leg
        self._leg: Leg | None = None
        self._input = MediaInput(self)
        self._output = MediaOutput(self, on_word, on_reply)
        self._stream = AudioStream(format)
        self._attached: _Attached | None = None
        self._waiting: tuple[MediaSocket, Outgoing, str] | None = None  # attached before the call began
        self._gone = ""  # why the caller left before the call began
        self._listening = False
        self._per_second = format.bytes_per_second
        self._burst = self._per_second * self.settings.burst_ms // 1000
        self._remove: Callable[[], None] | None = None
        self._began = 0.0  # loop time of sample 0 of the line
        self._lost_at = 0.0
        #: How many messages of audio have come.
        self.messages = 0

    @property
    def line(self) -> Line:
        return self._line

    def input(self) -> Processor:
        return self._input

    def output(self) -> PacedOutput:
        return self._output

    # -- the socket

    def attach(self, socket: MediaSocket, outgoing: Outgoing, connection: str) -> None:
        """The carrier has a socket for this call: the first one, or another one. An earlier one is closed."""
        if self._leg is None:
            self._waiting = (socket, outgoing, connection)
            return
        self.lose("replaced")
        now = self.call.engine.loop.time()
        self._attached = _Attached(socket, outgoing, self._leg.attach(connection), now)
        self._stream.reset()
        self._output.connect(self._attached)

    def lose(self, reason: str, code: int = NORMAL) -> None:
        """The socket is gone, or is given up."""
        attached, self._attached = self._attached, None
        self._waiting = None
        if attached is None:
            return
        self._lost_at = self.call.engine.loop.time()
        self._output.connect(None)
        attached.connection.lost(reason)
        attached.socket.close(code, reason)

    def detached(self, socket: MediaSocket, reason: str, code: int = NORMAL) -> None:
        """This socket was closed by its peer, broke, or cannot be understood."""
        if self._attached is not None and self._attached.socket is socket:
            self.lose(reason, code)
        elif self._waiting is not None and self._waiting[0] is socket:
            self._waiting = None

    @property
    def attached(self) -> bool:
        """Whether there is a connection."""
        return self._attached is not None

    @property
    def ending(self) -> bool:
        """Whether the call is over, or about to be."""
        return self.call.engine.ending

    def serves(self, socket: MediaSocket) -> bool:
        """Whether this socket is the one of the line: it may have been given up, or another one may have come."""
        if self._attached is not None:
            return self._attached.socket is socket
        return self._waiting is not None and self._waiting[0] is socket

    # -- what comes

    def audio(self, payload: bytes) -> None:
        """Sound of the caller."""
        self.messages += 1
        attached = self._attached
        if attached is not None:
            now = attached.heard_at = self.call.engine.loop.time()
            attached.brought += len(payload)
            if attached.brought > self._burst + (now - attached.began_at) * self._per_second:
                self.lose("more sound than time", POLICY)
                return
        if self._listening and payload:
            self._input.push(InputAudioFrame(self._stream.add(payload)))

    def digit(self, digit: str) -> None:
        """A key of the caller."""
        if self._listening:
            self._input.push(InputDTMFFrame(digit))

    def marked(self, name: str) -> None:
        """A mark has come back."""
        self._output.mark_came(name)

    def stopped(self, reason: str = "hangup") -> None:
        """The caller has left."""
        if self._leg is None:  # the bot is still being made
            self._gone = reason
            return
        self._leg.close(reason)
        self.call.hang_up(reason)

    # -- the line

    def begin(self) -> None:
        """The call has begun."""
        call: Call = self.call
        self._leg = call.open_leg(self._leg_id, self._line.carrier)
        engine = call.engine
        self._began = self._lost_at = engine.loop.time()
        self._output.begin(call.clock.at_ms())
        self._listening = True
        tick = self._tick
        self._remove = ticker(PIECE_MS, engine.loop).add(lambda: engine.dispatcher.in_context(tick))
        if self._waiting is not None:
            self.attach(*self._waiting)
            self._waiting = None
        if self._gone:
            self.stopped(self._gone)

    def stop_listening(self) -> None:
        """Nothing of the caller goes in any more."""
        self._listening = False

    def end(self) -> None:
        """The call is over."""
        if self._remove is not None:
            self._remove()
            self._remove = None
        self.lose(self.call.reason or "ended")

    def _tick(self) -> None:
        now = self.call.engine.loop.time()
        attached = self._attached
        settings = self.settings
        if attached is not None:
            if attached.socket.waiting > settings.slow_bytes:
                self.lose("the peer does not read", TRY_AGAIN)
            elif (now - attached.heard_at) * 1000 > settings.silent_ms:
                self.lose("the peer is silent", TRY_AGAIN)
        elif not self._listening:  # the call ends, and gets no other connection
            if not self._output.idle:
                self._output.abandon()
        elif (now - self._lost_at) * 1000 > settings.reconnect_ms:
            self._listening = False
            self.call.hang_up("connection lost")
        self._output.pace(self.position())

    def position(self) -> int:
        """The sample of the line at which the clock is now."""
        return round((self.call.engine.loop.time() - self._began) * self.format.rate)


class MediaInput(Processor):
    """The source: what comes from the caller."""

    role = "source"

    def __init__(self, transport: MediaTransport) -> None:
        self._transport = transport
        self.produces = (transport.format,)

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._transport.begin()

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self._transport.stop_listening()


class MediaOutput(PacedOutput):
    """The sink: what goes to the caller."""

    def __init__(
        self, transport: MediaTransport, on_word: OnWord | None, on_reply: Callable[[int, bool], None] | None
    ) -> None:
        settings = transport.settings
        super().__init__(
            transport.format,
            ahead_ms=settings.ahead_ms,
            mark_wait_ms=settings.mark_wait_ms,
            on_word=on_word,
            on_reply=on_reply,
        )
        self._transport = transport

    def position(self) -> int:
        return self._transport.position()

    async def cleanup(self) -> None:
        self._transport.end()
