"""What all detectors of voice activity have in common: settings, windows of audio with their times, the verdict.

A detector cuts the caller's audio into windows and gives each a probability of speech. `Activity` makes stretches of
speech of them:

    quiet ──evidence of speech for start_ms──▶ speaking ──stop_ms without speech──▶ quiet

Evidence is gathered from the first window with at least half of the wanted confidence, and is void with one that has
less. It is enough when one window has the confidence and all of them together as much as `n` windows with it, where `n`
is the number of whole windows that fit into `start_ms`; at least `n`, at most `n` + 3 windows count. While there is
speech a window is still part of it with 0.15 less, the hysteresis that the authors of Silero VAD use
(github.com/snakers4/silero-vad, `get_speech_timestamps`).
"""

from __future__ import annotations

import abc
import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, NamedTuple

from ...frames import (
    EndFrame,
    Frame,
    InputAudioFrame,
    UpdateSettingsFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...g711 import audioop
from ...processor import Processor, handles, observes
from ...settings import Settings, setting

__all__ = ["VAD", "Activity", "VADSettings", "Window"]

#: How much less than `confidence` is still speech while there is speech.
_HYSTERESIS: Final = 0.15
#: Audio that is missing between two frames: this much is a gap, less is a frame that was late.
_GAP_MS: Final = 60
#: By how much of its lateness a late frame moves the media time: clocks drift, and one late frame says little.
_DRIFT: Final = 0.02
#: No audio for so long ends speech: longer than a hiccup of the network, shorter than a caller's patience.
_STALL_MS: Final = 500
#: More windows of evidence than are needed are kept, so that a weak one in between does not begin it anew.
_WEAK: Final = 3

_FULL: Final = 32768.0


class VADSettings(Settings, prefix="VAD"):
    """When sound is speech. The same settings fit every VAD; three of them concern one only."""

    confidence: float = setting(default=0.7, doc="how probable speech must be", ge=0.05, le=1)
    # Chosen by measurement (espeak voices through µ-law, clean and at 20 dB). Two windows of Silero: of words that are
    # cut to 150 ms of voice each has at least these, at any place in the grid of windows. Four windows of 20 ms: a
    # click or a crackle of up to 40 ms touches three. 200 ms would lose "two".
    start_ms: int = setting(default=80, doc="speech before it is told; as many whole windows as fit into it", ge=1)
    stop_ms: int = setting(default=200, doc="silence before the end of speech is told", ge=1)
    gate_dbfs: float = setting(default=-50.0, doc="level (RMS) below which nothing is speech", ge=-120, le=0)
    # Steady noise stays within 4 dB of the quietest window of its last three seconds: of the windows of noise with the
    # spectrum of a room 99.9 % do, of white noise all. What it changes: benchmarks/vad.py gate.
    noise_gate_db: float = setting(
        default=4.0, doc="SileroVAD: what is less above the noise of the line is no speech; 0: off", ge=0, le=20
    )
    aggressiveness: int = setting(default=2, doc="WebRTCVAD: how much it must resemble speech", ge=0, le=3)
    threshold_dbfs: float | None = setting(
        default=None, doc="EnergyVAD: level of speech; none: so much above the noise of the line", ge=-120, le=0
    )


class Window(NamedTuple):
    """A piece of audio that is judged as one."""

    pcm: bytes  # mono s16le, with the samples before it that the detector asked for
    rms: int  # of the window itself; full scale is 32768
    ended_ms: float  # media time of its end
    at_ms: int  # media time of the frame that completed it
    missing_ms: float  # audio that was lost before it


class Activity:
    """Stretches of speech from windows, in their order. It knows no clock but the windows."""

    __slots__ = (
        "_confidence",
        "_count",
        "_evidence",
        "_needed",
        "_power",
        "_quiet_ms",
        "_still",
        "_stop_ms",
        "_voiced_ms",
        "_window_ms",
        "speaking",
    )

    def __init__(self, settings: VADSettings, window_ms: int) -> None:
        self.speaking = False
        self._window_ms = window_ms
        self._evidence: deque[tuple[float, Window]] = deque()
        self._quiet_ms = 0.0  # since the last window of speech
        self._voiced_ms = 0.0  # the end of that window
        self._power = 0  # the sum over the windows of speech
        self._count = 0
        self.configure(settings)

    def configure(self, settings: VADSettings) -> None:
        """Use these settings from the next window on."""
        self._confidence = settings.confidence
        self._still = max(0.01, settings.confidence - _HYSTERESIS)
        self._needed = max(1, settings.start_ms // self._window_ms)
        self._stop_ms = settings.stop_ms
        self._evidence = deque(self._evidence, self._needed + _WEAK)

    def judge(self, window: Window, probability: float, tell: Callable[[Frame], None]) -> None:
        """Count a window, and `tell` what follows from it. `probability` is that of speech, from 0 to 1."""
        if window.missing_ms:
            self._evidence.clear()
            self._quiet_ms += window.missing_ms
            self._stop_if_quiet(window, tell)
        if not self.speaking:
            self._gather(window, probability, tell)
        elif probability >= self._still:
            self._quiet_ms = 0.0
            self._voice(window)
        else:
            self._quiet_ms += self._window_ms
            self._stop_if_quiet(window, tell)

    def _gather(self, window: Window, probability: float, tell: Callable[[Frame], None]) -> None:
        evidence = self._evidence
        if probability < self._confidence / 2:
            if evidence:
                evidence.clear()
            return
        evidence.append((probability, window))
        if len(evidence) < self._needed:
            return
        best = max(p for p, _ in evidence)
        if best < self._confidence or sum(p for p, _ in evidence) < self._confidence * self._needed:
            return
        self.speaking = True
        self._quiet_ms = 0.0
        self._power = self._count = 0
        began_ms = max(0, round(evidence[0][1].ended_ms - self._window_ms))
        for _, one in evidence:
            self._voice(one)
        evidence.clear()
        tell(VADUserStartedSpeakingFrame(round(best, 3), began_ms, at_ms=window.at_ms))

    def _voice(self, window: Window) -> None:
        self._voiced_ms = window.ended_ms
        self._power += window.rms * window.rms
        self._count += 1

    def _stop_if_quiet(self, window: Window, tell: Callable[[Frame], None]) -> None:
        if self.speaking and self._quiet_ms >= self._stop_ms:
            tell(self._stopped(window.at_ms))

    def close(self, at_ms: int) -> VADUserStoppedSpeakingFrame | None:
        """End the speech that lasts: no more audio will come."""
        self._evidence.clear()
        return self._stopped(at_ms) if self.speaking else None

    def _stopped(self, at_ms: int) -> VADUserStoppedSpeakingFrame:
        self.speaking = False
        power = self._power / self._count
        level_dbfs = round(10 * math.log10(power / _FULL**2), 1) if power else None
        return VADUserStoppedSpeakingFrame(max(0, round(self._voiced_ms)), level_dbfs, at_ms=at_ms)


class VAD(Processor):
    """The base of all detectors: hears the caller's audio, which goes on at once and untouched, and tells of speech.

    Pushes `VADUserStartedSpeakingFrame` and `VADUserStoppedSpeakingFrame`, always by turns: speech that lasts is closed
    by the end of the call, and when no audio comes for half a second. `began_ms` and `ended_ms` are the edges of
    windows in media time, where a frame of audio ends at its `at_ms`, as one does that is pushed when it has arrived.
    A frame that is late, or comes in a burst, does not move them; audio that is missing counts as silence.

    Lines of 8 kHz are judged at 8 kHz, all others at 16 kHz. A detector of your own sets `window_ms` and implements
    `hear()`. Settings are by default from the environment and the settings file; an `UpdateSettingsFrame` changes them
    in a running call, from the next window on.
    """

    #: The length of a window.
    window_ms: ClassVar[int] = 20
    #: How many milliseconds before it a window carries along.
    context_ms: ClassVar[int] = 0

    def __init__(self, settings: VADSettings | None = None) -> None:
        self.settings = settings or VADSettings.load()
        self._activity = Activity(self.settings, self.window_ms)
        self._gate_rms = _rms(self.settings.gate_dbfs)
        self._rate = 0
        self._size = self._context = 0  # of a window and of what it carries along, in bytes
        self._rest = b""
        self._ended_ms: float | None = None  # media time of the end of all audio so far
        self._heard_ms = 0  # when the last of it came
        self._missing_ms = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._over = False

    @abc.abstractmethod
    def hear(self, window: Window) -> None:
        """Find the probability of speech in this window and pass both to `judge()`, now or later, in order."""

    def begin(self, rate: int) -> None:
        """Audio of this rate comes from now on: 8,000 or 16,000 Hz. Called before the first window."""

    def judge(self, window: Window, probability: float) -> None:
        """The verdict on a window."""
        activity = self._activity
        activity.judge(window, probability, self.push)
        if activity.speaking and self._stall is None:
            self._watch(_STALL_MS)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        if self._over:
            return
        rate = 8_000 if frame.audio.format.rate == 8_000 else 16_000
        if rate != self._rate:
            self._start(rate)
        pcm = frame.audio.pcm(rate)
        per_ms = rate // 500  # bytes
        ended_ms = self._time(frame.at_ms, len(pcm) / per_ms)
        whole = self._size + self._context
        data = self._rest + pcm
        while len(data) >= whole:
            missing_ms, self._missing_ms = self._missing_ms, 0.0
            piece, data = data[:whole], data[self._size :]
            rms = audioop.rms(piece[self._context :] if self._context else piece, 2)
            past = (len(data) - self._context) / per_ms
            self.hear(Window(piece, rms, ended_ms - past, frame.at_ms, missing_ms))
        self._rest = data

    def _start(self, rate: int) -> None:
        self._rate = rate
        self._size = rate // 500 * self.window_ms
        self._context = rate // 500 * self.context_ms
        self._rest = bytes(self._context)
        self.begin(rate)

    def _time(self, at_ms: int, length_ms: float) -> float:
        """The media time at which a frame ends that was pushed at `at_ms`."""
        self._heard_ms = at_ms
        expected = at_ms if self._ended_ms is None else self._ended_ms + length_ms
        late_ms = at_ms - expected
        if late_ms >= _GAP_MS:
            self._missing_ms += late_ms
            ended_ms = float(at_ms)
        else:
            # Nothing is heard before it has happened: who is early says that all before were late.
            ended_ms = at_ms if late_ms < 0 else expected + late_ms * _DRIFT
        self._ended_ms = ended_ms
        return ended_ms

    # -- what ends speech besides silence

    def _watch(self, in_ms: int) -> None:
        self._stall = asyncio.get_running_loop().call_later(in_ms / 1000, self._look)

    def _look(self) -> None:
        self._stall = None
        if not self._activity.speaking:
            return
        now = self.call.clock.at_ms()
        left_ms = self._heard_ms + _STALL_MS - now
        if left_ms > 0:
            self._watch(left_ms)
        elif stopped := self._activity.close(now):
            self.push(stopped)

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> Iterable[Frame]:
        self.finish()
        self._over = True
        stopped = self._activity.close(frame.at_ms)
        return () if stopped is None else (stopped,)

    def finish(self) -> None:
        """Judge what still waits: the call ends."""

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target == self.name:
            self.settings = self.settings.replace(**frame.changes)
            self._gate_rms = _rms(self.settings.gate_dbfs)
            self._activity.configure(self.settings)
            self.configure()

    def configure(self) -> None:
        """The settings have changed."""

    async def cleanup(self) -> None:
        self._over = True
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _rms(dbfs: float) -> float:
    return _FULL * 10 ** (dbfs / 20)
