"""A telephone line in memory: the same audio, frames and times as over a carrier, with nothing in between.

    far.play() / far.source ──▶ 20 ms each tick ──▶ InputAudioFrame ──▶ the pipeline
    far.on_audio            ◀── 20 ms each tick ◀── the output

One tick of 20 ms serves both directions: the caller's audio goes in first, then the bot's comes out. The line can be
made as bad as real ones are: late, jittery, lossy, with a clock of its own.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..audio import PCMU_8K, Audio, AudioFormat, AudioStream
from ..call import Call, Leg, Line
from ..clock import ticker
from ..frames import EndFrame, InputAudioFrame, InputDTMFFrame, StartFrame
from ..processor import Processor, handles
from .base import Transport
from .fades import fader
from .output import AudioOutput, OnWord

__all__ = ["Far", "LineConditions", "LoopbackTransport"]

#: The length of a piece in both directions.
TICK_MS = 20


@dataclass(frozen=True, kw_only=True)
class LineConditions:
    """How bad the line is. The same seed makes the same line.

    network_ms: how long sound is under way, in each direction.
    jitter_ms: by how much the caller's pieces are late beyond that, each by its own amount from 0 to this. They keep
    their order, so that behind a late one others come at once.
    loss: which part of the caller's pieces never comes, from 0 to 1.
    clock_ppm: by how many millionths the caller's clock is fast.

    What arrives is seen at the next tick of 20 ms.
    """

    network_ms: int = 0
    jitter_ms: int = 0
    loss: float = 0.0
    clock_ppm: float = 0.0
    seed: int = 0


class Far:
    """The far end of the line: the caller's telephone.

    source: makes the caller's next 20 ms, in the line's format; by default what was given to `play()`, and silence.
    on_audio: told the bot's 20 ms of each tick, in the line's format, from the first tick to the end of the call.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.source: Callable[[], bytes] = self.next
        self.on_audio: Callable[[bytes], None] | None = None
        #: 20 ms of silence.
        self.silence = fader(format).silence * (format.rate * TICK_MS // 1000)
        self._waiting = bytearray()

    def play(self, pcm: bytes) -> None:
        """Speak: mono s16le at the line's rate, behind what was given before."""
        self._waiting += Audio(pcm, AudioFormat("pcm_s16le", self.format.rate)).to(self.format)

    @property
    def waiting_ms(self) -> int:
        """How much of what was given to `play()` is still to be sent."""
        return -(-len(self._waiting) * 1000 // self.format.bytes_per_second)

    def stop(self) -> None:
        """Forget what has not been sent."""
        self._waiting.clear()

    def next(self) -> bytes:
        """The next 20 ms of what was given to `play()`, filled up with silence."""
        waiting, silence = self._waiting, self.silence
        if not waiting:
            return silence
        size = len(silence)
        data = bytes(waiting[:size])
        del waiting[:size]
        return data + silence[len(data) :]


class LoopbackTransport(Transport):
    """A line in memory. `far` is its other end; both are used on the call's event loop.

    on_word, on_reply, on_digits: see `AudioOutput`.
    """

    def __init__(
        self,
        format: AudioFormat = PCMU_8K,
        *,
        conditions: LineConditions | None = None,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
        on_digits: Callable[[str], None] | None = None,
    ) -> None:
        self.format = format
        self.conditions = conditions or LineConditions()
        self.far = Far(format)
        #: When the first tick was, in the call's time; -1 before.
        self.began_ms = -1
        #: How many pieces of the caller never arrived.
        self.lost = 0
        self._input = LoopbackInput(self)
        self._output = LoopbackOutput(self, format, on_word, on_reply, on_digits)
        self._leg: Leg | None = None
        self._samples = format.rate * TICK_MS // 1000
        self._stream = AudioStream(format)
        self._rng = random.Random(self.conditions.seed)
        self._speed = 1 + self.conditions.clock_ppm / 1e6
        self._listening = False  # whether the caller's audio goes in
        self._remove: Callable[[], None] | None = None
        self._first_tick = 0
        self._ticks = 0  # that were served
        self._spoken = 0  # pieces that the caller has made
        self._connections = 0
        self._last_due_ms = 0.0
        # What is under way, with the time at which it arrives, in ms since the first tick.
        self._coming: deque[tuple[float, int, bytes]] = deque()
        self._going: deque[tuple[int, bytes]] = deque()

    @property
    def line(self) -> Line:
        return Line("loopback", frozenset({"dtmf"}))

    def input(self) -> Processor:
        return self._input

    def output(self) -> AudioOutput:
        return self._output

    # -- what the far side does

    def hang_up(self) -> None:
        """The caller leaves."""
        self.call.hang_up()

    def press(self, digits: str, *, in_band: bool = False) -> None:
        """The caller presses keys: told by the carrier, or (in_band) only to be heard, behind what is being spoken."""
        if in_band:
            from ..tones import dtmf

            self.far.play(dtmf(digits, rate=self.format.rate))
            return
        for digit in digits:
            self._input.push(InputDTMFFrame(digit))

    def attach(self) -> None:
        """The line has (again) a connection for its media. The first one comes with the call."""
        if self._leg is not None and self._leg.connection is None:
            self._connections += 1
            self._leg.attach(f"loopback-{self._connections}")

    def lose(self, reason: str = "lost") -> None:
        """The connection breaks: nothing goes in or out until `attach()`, and what the bot says waits for that."""
        if self._leg is not None and self._leg.connection is not None:
            self._leg.connection.lost(reason)
            self._coming.clear()
            self._going.clear()

    # -- the line

    def begin(self) -> None:
        """The call has begun: from the next tick on the line runs."""
        call: Call = self.call
        self._leg = call.open_leg(f"loopback-{call.id}", "loopback")
        self.attach()
        self._listening = True
        engine = call.engine
        tick = self._tick
        self._remove = ticker(TICK_MS, engine.loop).add(lambda: engine.dispatcher.in_context(tick))

    def stop_listening(self) -> None:
        """Nothing of the caller goes in any more."""
        self._listening = False

    def end(self) -> None:
        """The line runs no more."""
        if self._remove is not None:
            self._remove()
            self._remove = None

    def _tick(self) -> None:
        now = int(self.call.engine.loop.time() * 1000 / TICK_MS + 1e-6)
        if self.began_ms < 0:
            self.began_ms = self.call.clock.at_ms()
            self._first_tick = now
            self._output.begin(self.began_ms)
        # A loop that was held up has missed ticks, and what they carried: it is all served now, so nothing drifts.
        while self._ticks <= now - self._first_tick and self._remove is not None:
            self._serve()
            self._ticks += 1

    def _serve(self) -> None:
        now_ms = self._ticks * TICK_MS
        connected = self._leg is not None and self._leg.connection is not None
        self._come(now_ms, connected)
        if not connected:
            self._output.playout.skip(self._samples)
            data = None
        else:
            data = self._output.tick(self._samples)
        self._go(now_ms, data)

    def _come(self, now_ms: int, connected: bool) -> None:
        """The caller's audio, on its way in."""
        conditions = self.conditions
        coming = self._coming
        speed = self._speed
        until_ms = now_ms * speed
        random = self._rng.random
        while self._spoken * TICK_MS <= until_ms:
            data = self.far.source()
            nominal = self._spoken * TICK_MS / speed + conditions.network_ms
            self._spoken += 1
            # Drawn whether or not they are needed, so that what happens to one piece changes nothing for the next.
            lost, late = random() < conditions.loss, random() * conditions.jitter_ms
            if lost or not connected:
                self.lost += lost
                continue
            due = nominal + late
            if due < self._last_due_ms:
                due = self._last_due_ms
            self._last_due_ms = due
            coming.append((due, round(nominal), data))
        while coming and coming[0][0] <= now_ms:
            _, nominal_ms, data = coming.popleft()
            if self._listening:
                audio = self._stream.add(data)
                self._input.push(InputAudioFrame(audio, at_ms=self.began_ms + nominal_ms))

    def _go(self, now_ms: int, data: bytes | None) -> None:
        """The bot's audio, on its way out."""
        on_audio = self.far.on_audio
        if self.conditions.network_ms:
            if data is not None:
                self._going.append((now_ms + self.conditions.network_ms, data))
            data = None
            if self._going and self._going[0][0] <= now_ms:
                data = self._going.popleft()[1]
        if on_audio is not None:
            on_audio(data if data is not None else self.far.silence)


class LoopbackInput(Processor):
    """The source: what comes from the caller."""

    role = "source"

    def __init__(self, transport: LoopbackTransport) -> None:
        self._transport = transport
        self.produces = (transport.format,)

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._transport.begin()

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self._transport.stop_listening()


class LoopbackOutput(AudioOutput):
    """The sink: what goes to the caller."""

    def __init__(
        self,
        transport: LoopbackTransport,
        format: AudioFormat,
        on_word: OnWord | None,
        on_reply: Callable[[int, bool], None] | None,
        on_digits: Callable[[str], None] | None,
    ) -> None:
        super().__init__(format, on_word=on_word, on_reply=on_reply, on_digits=on_digits)
        self._transport = transport

    async def cleanup(self) -> None:
        self._transport.end()
